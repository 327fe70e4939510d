package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"codeq.test/streams/workerpb"
)

// outcome is what a handler makes of a task: completed (body nil: no body), failed, nacked or abandoned.
type outcome struct {
	body    any
	err     error
	nack    bool
	delay   int32
	abandon bool
}

type handler func(context.Context, *workerpb.Task) outcome

// slots is a worker as the reference's library runs it: each slot gives one credit, waits for a task without a timeout, runs
// the handler, sends the result, and goes on; no heartbeats, no reconnects, acks are dropped unread.
type slots struct {
	addr, token, workerID string
	commands              []string
	concurrency           int
	leaseSeconds          int32
	batchSize             int32
	handle                handler
}

// run returns when ctx ends or the stream does, with the error of either.
func (w slots) run(ctx context.Context) error {
	conn, err := dial(w.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := openWorker(ctx, conn, w.token, w.workerID)
	if err != nil {
		return err
	}
	out := make(chan *workerpb.WorkerEvent, 256)
	in := make(chan []*workerpb.Task)
	ended := make(chan error, 1)
	go func() {
		for {
			select {
			case event := <-out:
				if stream.Send(event) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		for {
			event, err := stream.Recv()
			if err != nil {
				ended <- err
				cancel()
				return
			}
			tasks := event.GetTaskBatch().GetTasks()
			if one := event.GetTask().GetTask(); one != nil {
				tasks = append(tasks, one)
			}
			if len(tasks) == 0 {
				continue // acks, errors and empty batches
			}
			select {
			case in <- tasks: // any idle slot
			case <-ctx.Done():
			}
		}
	}()
	var running sync.WaitGroup
	for range max(w.concurrency, 1) {
		running.Add(1)
		go func() {
			defer running.Done()
			for ctx.Err() == nil {
				send(ctx, out, &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Ready{Ready: &workerpb.Ready{
					Commands: w.commands, LeaseSeconds: w.leaseSeconds, Count: max(1, w.batchSize)}}})
				select {
				case tasks := <-in:
					w.work(ctx, tasks, out)
				case <-ctx.Done():
				}
			}
		}()
	}
	running.Wait()
	select {
	case err := <-ended:
		return err
	default:
		return ctx.Err()
	}
}

func send(ctx context.Context, out chan<- *workerpb.WorkerEvent, event *workerpb.WorkerEvent) {
	select {
	case out <- event:
	case <-ctx.Done():
	}
}

// work runs the handler on each task; completions and failures of a batch go in one message, the rest singly.
func (w slots) work(ctx context.Context, tasks []*workerpb.Task, out chan<- *workerpb.WorkerEvent) {
	var results []*workerpb.Result
	for _, task := range tasks {
		made := w.handle(ctx, task)
		switch {
		case made.nack:
			send(ctx, out, &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Nack{Nack: &workerpb.Nack{
				TaskId: task.Id, DelaySeconds: max(made.delay, 0)}}})
		case made.abandon:
			send(ctx, out, &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Abandon{Abandon: &workerpb.Abandon{TaskId: task.Id}}})
		case made.err != nil:
			results = append(results, &workerpb.Result{TaskId: task.Id, Status: "FAILED", Error: made.err.Error()})
		default:
			result := &workerpb.Result{TaskId: task.Id, Status: "COMPLETED"}
			if made.body != nil {
				result.ResultJson, _ = json.Marshal(made.body)
			}
			results = append(results, result)
		}
	}
	switch len(results) {
	case 0:
	case 1:
		send(ctx, out, &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Result{Result: results[0]}})
	default:
		send(ctx, out, &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_ResultBatch{ResultBatch: &workerpb.ResultBatch{Results: results}}})
	}
}

type workerStream = workerpb.WorkerStream_StreamClient

func openWorker(ctx context.Context, conn *grpc.ClientConn, token, workerID string) (workerStream, error) {
	stream, err := workerpb.NewWorkerStreamClient(conn).Stream(ctx)
	if err != nil {
		return nil, err
	}
	hello := &workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Hello{Hello: &workerpb.Hello{Token: token, WorkerId: workerID}}}
	if err := stream.Send(hello); err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetHelloAck() == nil {
		return nil, fmt.Errorf("rejected: %v", first)
	}
	return stream, nil
}

// hand is a worker's stream driven by hand, one event at a time.
type hand struct {
	conn   *grpc.ClientConn
	stream workerStream
	cancel context.CancelFunc
}

func byHand(addr, token, workerID string) (*hand, error) {
	conn, err := dial(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := openWorker(ctx, conn, token, workerID)
	if err != nil {
		cancel()
		conn.Close()
		return nil, err
	}
	return &hand{conn, stream, cancel}, nil
}

func (h *hand) close() {
	h.cancel()
	h.conn.Close()
}

func (h *hand) ready(count int32, commands ...string) error {
	return h.stream.Send(&workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Ready{Ready: &workerpb.Ready{
		Commands: commands, LeaseSeconds: 60, Count: count}}})
}

// tasks of the next delivery; anything else that comes first is an error.
func (h *hand) tasks() ([]*workerpb.Task, error) {
	event, err := h.stream.Recv()
	if err != nil {
		return nil, err
	}
	if task := event.GetTask().GetTask(); task != nil {
		return []*workerpb.Task{task}, nil
	}
	if tasks := event.GetTaskBatch().GetTasks(); len(tasks) > 0 {
		return tasks, nil
	}
	return nil, fmt.Errorf("no task: %v", event)
}

func (h *hand) claim(command string) (*workerpb.Task, error) {
	if err := h.ready(1, command); err != nil {
		return nil, err
	}
	tasks, err := h.tasks()
	if err != nil {
		return nil, err
	}
	return tasks[0], nil
}

// complete returns the ack's error message, or "".
func (h *hand) complete(id string, body []byte) (string, error) {
	err := h.stream.Send(&workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Result{Result: &workerpb.Result{
		TaskId: id, Status: "COMPLETED", ResultJson: body}}})
	if err != nil {
		return "", err
	}
	event, err := h.stream.Recv()
	if err != nil {
		return "", err
	}
	ack := event.GetResultAck()
	if ack == nil || ack.TaskId != id || ack.Ok == (ack.ErrorMessage != "") {
		return "", errors.New("no proper ack: " + event.String())
	}
	return ack.ErrorMessage, nil
}

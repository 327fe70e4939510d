package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"codeq.test/streams/producerpb"
	"codeq.test/streams/workerpb"
)

var cases = []testCase{
	{"produce_and_complete", produceAndComplete},
	{"many_producers_on_one_stream", manyProducers},
	{"produce_batch_and_claim_batch", batches},
	{"complete_without_a_body", emptyBody},
	{"fail", failing},
	{"nack_and_try_again", nacking},
	{"abandon", abandoning},
	{"disconnect_and_reconnect", reconnecting},
	{"idle_then_work", idling},
	{"acks_left_unread", unread},
	{"wrong_token", wrongToken},
	{"wrong_tenant", wrongTenant},
	{"four_mib_of_payloads", large},
	{"closing_our_side_ends_the_call_well", halfClose},
	{"trace_context_travels", traces},
}

// handleUntil runs a worker until `count` tasks were handled.
func handleUntil(w slots, count int64, each handler) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var handled atomic.Int64
	w.handle = func(ctx context.Context, task *workerpb.Task) outcome {
		made := each(ctx, task)
		if handled.Add(1) >= count {
			// The result is still to be sent, and its ack is not read: give it time on the wire, then leave.
			time.AfterFunc(500*time.Millisecond, cancel)
		}
		return made
	}
	err := w.run(ctx)
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

// settled checks that the task is finished, by offering one more result for it.
func settled(w *world, id string) error {
	h, err := byHand(w.workerAddr, w.worker, "")
	if err != nil {
		return err
	}
	defer h.close()
	text, err := h.complete(id, nil)
	if err != nil {
		return err
	}
	return expect(text == "not-in-progress", "task %s is not finished: %q", id, text)
}

func produceAndComplete(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	if err := expect(s.ack.TenantId != "" && s.ack.Subject != "", "hello: %v", s.ack); err != nil {
		return err
	}
	command := w.command()
	ids := map[string]bool{}
	for n := range 50 {
		id, err := s.created(command, fmt.Sprintf(`{"n":%d}`, n))
		if err != nil {
			return err
		}
		ids[id] = true
	}
	var lock sync.Mutex
	seen := map[string]int{}
	err = handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, concurrency: 8, leaseSeconds: 60}, 50,
		func(_ context.Context, task *workerpb.Task) outcome {
			lock.Lock()
			defer lock.Unlock()
			seen[task.Id]++
			return outcome{body: map[string]any{"done": task.Id}}
		})
	if err != nil {
		return err
	}
	for id := range ids {
		if seen[id] != 1 {
			return fmt.Errorf("task %s was handled %d times", id, seen[id])
		}
		if err := settled(w, id); err != nil {
			return err
		}
	}
	return nil
}

func manyProducers(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	var wait sync.WaitGroup
	failures := make(chan error, 100)
	for range 100 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range 20 {
				if _, err := s.created(command, "1"); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	wait.Wait()
	close(failures)
	return <-failures
}

func batches(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	tasks := make([]*producerpb.CreateTask, 100)
	for i := range tasks {
		tasks[i] = &producerpb.CreateTask{Command: command, Payload: fmt.Appendf(nil, `{"n":%d}`, i), Priority: 5}
	}
	tasks[50].Command = "  "
	acks, err := s.produceBatch(tasks)
	if err != nil {
		return err
	}
	for i, ack := range acks {
		if ack.Ok != (i != 50) || ack.Seq != tasks[i].Seq {
			return fmt.Errorf("ack %d: %v", i, ack)
		}
	}
	if acks[50].ErrorMessage != "command is required" {
		return fmt.Errorf("refused with %q", acks[50].ErrorMessage)
	}
	seen := map[string]bool{}
	err = handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, leaseSeconds: 60, batchSize: 7}, 99,
		func(_ context.Context, task *workerpb.Task) outcome {
			seen[task.Id] = true
			return outcome{body: map[string]any{}}
		})
	if err != nil {
		return err
	}
	if len(seen) != 99 {
		return fmt.Errorf("%d different tasks were handled", len(seen))
	}
	return settled(w, acks[99].TaskId)
}

// one makes a task and hands it to a worker for one handling.
func one(w *world, each handler, maxAttempts int32) (string, error) {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return "", err
	}
	defer s.close()
	command := w.command()
	ack, err := s.produce(&producerpb.CreateTask{Command: command, Payload: []byte(`"one"`), MaxAttempts: maxAttempts})
	if err != nil || !ack.Ok {
		return "", fmt.Errorf("create: %v %v", ack, err)
	}
	return ack.TaskId, handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, leaseSeconds: 60}, 1, each)
}

func emptyBody(w *world) error {
	id, err := one(w, func(context.Context, *workerpb.Task) outcome { return outcome{} }, 0)
	if err != nil {
		return err
	}
	return settled(w, id)
}

func failing(w *world) error {
	id, err := one(w, func(context.Context, *workerpb.Task) outcome { return outcome{err: errors.New("no such page")} }, 0)
	if err != nil {
		return err
	}
	return settled(w, id)
}

// again handles one task twice: first as told, then well.
func again(w *world, first outcome) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	id, err := s.created(command, "null")
	if err != nil {
		return err
	}
	var attempts []int32
	err = handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, leaseSeconds: 60}, 2,
		func(_ context.Context, task *workerpb.Task) outcome {
			attempts = append(attempts, task.Attempts)
			if len(attempts) == 1 {
				return first
			}
			return outcome{body: map[string]any{"ok": true}}
		})
	if err != nil {
		return err
	}
	if len(attempts) != 2 || attempts[0] != 1 || attempts[1] != 2 {
		return fmt.Errorf("attempts were %v", attempts)
	}
	return settled(w, id)
}

func nacking(w *world) error    { return again(w, outcome{nack: true, delay: -1}) }
func abandoning(w *world) error { return again(w, outcome{abandon: true}) }

func reconnecting(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	first, err := s.created(command, "1")
	if err != nil {
		return err
	}
	h, err := byHand(w.workerAddr, w.worker, "go-reconnect")
	if err != nil {
		return err
	}
	task, err := h.claim(command)
	if err == nil {
		err = h.ready(1, command) // a credit that dies with its stream
	}
	h.close()
	if err != nil {
		return err
	}
	second, err := s.created(command, "2")
	if err != nil {
		return err
	}
	if h, err = byHand(w.workerAddr, w.worker, "go-reconnect"); err != nil {
		return err
	}
	defer h.close()
	if text, err := h.complete(task.Id, []byte(`{}`)); err != nil || text != "" || task.Id != first {
		return fmt.Errorf("the task of the lost stream: %q %v", text, err)
	}
	task, err = h.claim(command)
	if err != nil {
		return err
	}
	if task.Id != second || task.Attempts != 1 {
		return fmt.Errorf("the task after it: %v", task)
	}
	_, err = h.complete(task.Id, nil)
	return err
}

func idling(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	produced := make(chan error, 1)
	time.AfterFunc(w.idle, func() {
		for range 10 {
			if _, err := s.created(command, "1"); err != nil {
				produced <- fmt.Errorf("the producer's stream after idling: %w", err)
				return
			}
		}
		produced <- nil
	})
	worked := make(chan error, 1)
	go func() {
		worked <- handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, concurrency: 3, leaseSeconds: 60}, 10,
			func(context.Context, *workerpb.Task) outcome { return outcome{body: map[string]any{}} })
	}()
	if err := <-produced; err != nil {
		return err
	}
	select {
	case err := <-worked:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("the slots are dead after idling")
	}
}

// unread sends results and never calls Recv for their acks, but on as many tasks as windows allow.
func unread(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	tasks := make([]*producerpb.CreateTask, 1000)
	for i := range tasks {
		tasks[i] = &producerpb.CreateTask{Command: command, Payload: []byte("1")}
	}
	acks, err := s.produceBatch(tasks)
	if err != nil {
		return err
	}
	h, err := byHand(w.workerAddr, w.worker, "")
	if err != nil {
		return err
	}
	defer h.close()
	if err := h.ready(1000, command); err != nil {
		return err
	}
	got, err := h.tasks()
	if err != nil {
		return err
	}
	if len(got) != 1000 {
		return fmt.Errorf("a batch of %d", len(got))
	}
	for _, task := range got {
		err := h.stream.Send(&workerpb.WorkerEvent{Event: &workerpb.WorkerEvent_Result{Result: &workerpb.Result{
			TaskId: task.Id, Status: "COMPLETED"}}})
		if err != nil {
			return err
		}
	}
	for {
		if err := settled(w, acks[999].TaskId); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // until the case's own deadline
	}
}

func refusedWith(err error, code codes.Code, text string) error {
	got, ok := status.FromError(err)
	if !ok || got.Code() != code || (text != "" && got.Message() != text) {
		return fmt.Errorf("ended with %v, not %v %q", err, code, text)
	}
	return nil
}

func wrongToken(w *world) error {
	for _, token := range []string{"nobody", w.worker} {
		_, err := connect(w.producerAddr, token)
		if err := refusedWith(err, codes.Unauthenticated, ""); err != nil {
			return err
		}
	}
	_, err := connect(w.producerAddr, "")
	if err := refusedWith(err, codes.Unauthenticated, "missing token"); err != nil {
		return err
	}
	err = slots{addr: w.workerAddr, token: "", handle: nil}.run(context.Background())
	if err := refusedWith(err, codes.Unauthenticated, "auth failed: missing token"); err != nil {
		return err
	}
	err = slots{addr: w.workerAddr, token: w.producer, handle: nil}.run(context.Background())
	return refusedWith(err, codes.Unauthenticated, "")
}

func wrongTenant(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	id, err := s.created(command, "1")
	if err != nil {
		return err
	}
	thief, err := byHand(w.workerAddr, w.otherWorker, "same")
	if err != nil {
		return err
	}
	defer thief.close()
	if err := thief.ready(1, command); err != nil {
		return err
	}
	h, err := byHand(w.workerAddr, w.worker, "same")
	if err != nil {
		return err
	}
	defer h.close()
	task, err := h.claim(command)
	if err != nil {
		return err
	}
	if task.Id != id {
		return fmt.Errorf("claimed %v", task)
	}
	// The answer to this is the first thing that the thief gets: no task came to it.
	text, err := thief.complete(id, nil)
	if err != nil || text != "task not found" {
		return fmt.Errorf("a foreign result: %q %v", text, err)
	}
	second, err := byHand(w.workerAddr, w.worker2, "same")
	if err != nil {
		return err
	}
	defer second.close()
	if text, err = second.complete(id, nil); err != nil || text != "not-owner" {
		return fmt.Errorf("a result of another token: %q %v", text, err)
	}
	text, err = h.complete(id, nil)
	return errors.Join(err, expect(text == "", "the holder's own result: %q", text))
}

func large(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	// 12 of 1 MiB: three times what fits into one message; grpc-go's client takes no message over 4 MiB.
	payload := func(n int) []byte { return fmt.Appendf(nil, `"%d %s"`, n, bytes.Repeat([]byte{'x'}, 1<<20)) }
	sent := map[string]int{}
	for n := range 12 {
		ack, err := s.produce(&producerpb.CreateTask{Command: command, Payload: payload(n)})
		if err != nil || !ack.Ok {
			return fmt.Errorf("create: %v %v", ack, err)
		}
		sent[ack.TaskId] = n
	}
	var mismatch error
	err = handleUntil(slots{addr: w.workerAddr, token: w.worker, commands: []string{command}, leaseSeconds: 60, batchSize: 12}, 12,
		func(_ context.Context, task *workerpb.Task) outcome {
			n, known := sent[task.Id]
			if !known || !bytes.Equal(task.Payload, payload(n)) || task.Attempts != 1 {
				mismatch = fmt.Errorf("task %s came changed, twice or late", task.Id)
			}
			delete(sent, task.Id)
			return outcome{}
		})
	if err == nil && mismatch == nil && len(sent) > 0 {
		mismatch = fmt.Errorf("%d tasks never came", len(sent))
	}
	return errors.Join(err, mismatch)
}

func halfClose(w *world) error {
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	if _, err := s.created(w.command(), "1"); err != nil {
		return err
	}
	close(s.out)
	<-s.written
	<-s.closed
	s.conn.Close()
	return expect(errors.Is(s.err, io.EOF), "the call ended with %v", s.err)
}

func traces(w *world) error {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s, err := connect(w.producerAddr, w.producer)
	if err != nil {
		return err
	}
	defer s.close()
	command := w.command()
	ack, err := s.produce(&producerpb.CreateTask{Command: command, Payload: []byte("1"), TraceParent: parent, TraceState: "go=1"})
	if err != nil || !ack.Ok {
		return fmt.Errorf("create: %v %v", ack, err)
	}
	h, err := byHand(w.workerAddr, w.worker, "")
	if err != nil {
		return err
	}
	defer h.close()
	task, err := h.claim(command)
	if err != nil {
		return err
	}
	if _, err := h.complete(task.Id, nil); err != nil {
		return err
	}
	return expect(len(task.TraceParent) == 55 && task.TraceParent[3:35] == parent[3:35] && task.TraceState == "go=1",
		"the worker was handed %q %q", task.TraceParent, task.TraceState)
}

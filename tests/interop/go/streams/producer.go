package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"codeq.test/streams/producerpb"
)

var errStreamClosed = errors.New("stream closed")

func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// session is a producer's stream as the reference's library keeps it: a writer with a queue of 256, a reader that pairs acks
// by seq, calls that block for their acks, nothing that reconnects.
type session struct {
	conn    *grpc.ClientConn
	stream  producerpb.ProducerStream_StreamClient
	cancel  context.CancelFunc
	out     chan *producerpb.ProducerEvent
	written chan struct{} // closed when the writer has ended
	closed  chan struct{} // closed when the reader has ended
	seq     atomic.Uint64
	lock    sync.Mutex
	pending map[uint64]chan *producerpb.CreateAck
	err     error // of the reader
	errors  []*producerpb.ServerError
	ack     *producerpb.HelloAck
}

func connect(addr, token string) (*session, error) {
	conn, err := dial(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{conn: conn, cancel: cancel, out: make(chan *producerpb.ProducerEvent, 256), written: make(chan struct{}),
		closed: make(chan struct{}), pending: map[uint64]chan *producerpb.CreateAck{}}
	fail := func(err error) (*session, error) {
		cancel()
		conn.Close()
		return nil, err
	}
	if s.stream, err = producerpb.NewProducerStreamClient(conn).Stream(ctx); err != nil {
		return fail(err)
	}
	hello := &producerpb.ProducerEvent{Event: &producerpb.ProducerEvent_Hello{Hello: &producerpb.Hello{Token: token}}}
	if err = s.stream.Send(hello); err != nil {
		return fail(err)
	}
	first, err := s.stream.Recv()
	if err != nil {
		return fail(err)
	}
	if s.ack = first.GetHelloAck(); s.ack == nil {
		return fail(fmt.Errorf("rejected: %v", first))
	}
	go s.write()
	go s.read()
	return s, nil
}

func (s *session) write() {
	defer close(s.written)
	for event := range s.out {
		if s.stream.Send(event) != nil {
			return
		}
	}
	s.stream.CloseSend()
}

func (s *session) read() {
	defer close(s.closed)
	for {
		event, err := s.stream.Recv()
		if err != nil {
			s.lock.Lock()
			s.err = err
			for _, wait := range s.pending {
				close(wait)
			}
			s.pending = nil
			s.lock.Unlock()
			return
		}
		acks := event.GetCreateAckBatch().GetAcks()
		if ack := event.GetCreateAck(); ack != nil {
			acks = append(acks, ack)
		}
		s.lock.Lock()
		if e := event.GetError(); e != nil {
			s.errors = append(s.errors, e)
		}
		for _, ack := range acks {
			if wait := s.pending[ack.Seq]; wait != nil {
				wait <- ack
				delete(s.pending, ack.Seq)
			}
		}
		s.lock.Unlock()
	}
}

func (s *session) expectAck(task *producerpb.CreateTask) (chan *producerpb.CreateAck, error) {
	task.Seq = s.seq.Add(1)
	wait := make(chan *producerpb.CreateAck, 1)
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.pending == nil {
		return nil, errStreamClosed
	}
	s.pending[task.Seq] = wait
	return wait, nil
}

func answer(wait chan *producerpb.CreateAck) (*producerpb.CreateAck, error) {
	ack, ok := <-wait
	if !ok {
		return nil, errStreamClosed
	}
	return ack, nil
}

// produce blocks for the ack, which may be a negative one.
func (s *session) produce(task *producerpb.CreateTask) (*producerpb.CreateAck, error) {
	wait, err := s.expectAck(task)
	if err != nil {
		return nil, err
	}
	s.out <- &producerpb.ProducerEvent{Event: &producerpb.ProducerEvent_Create{Create: task}}
	return answer(wait)
}

func (s *session) produceBatch(tasks []*producerpb.CreateTask) ([]*producerpb.CreateAck, error) {
	waits := make([]chan *producerpb.CreateAck, len(tasks))
	for i, task := range tasks {
		var err error
		if waits[i], err = s.expectAck(task); err != nil {
			return nil, err
		}
	}
	s.out <- &producerpb.ProducerEvent{Event: &producerpb.ProducerEvent_CreateBatch{CreateBatch: &producerpb.CreateTaskBatch{Tasks: tasks}}}
	acks := make([]*producerpb.CreateAck, len(tasks))
	for i, wait := range waits {
		var err error
		if acks[i], err = answer(wait); err != nil {
			return nil, err
		}
	}
	return acks, nil
}

// created is produce for tasks that must be accepted.
func (s *session) created(command, payload string) (string, error) {
	ack, err := s.produce(&producerpb.CreateTask{Command: command, Payload: []byte(payload)})
	if err != nil {
		return "", err
	}
	return ack.TaskId, expect(ack.Ok && ack.TaskId != "", "create: %v", ack)
}

// close drains the writer, closes our side, and cancels at once, as the library does.
func (s *session) close() {
	close(s.out)
	<-s.written
	s.cancel()
	<-s.closed
	s.conn.Close()
}

// Full cycles with NATS JetStream: publish acknowledged, pulled, and the acknowledgement itself acknowledged (DoubleAck).
//
//	single-64  64 + 64 connections, one publish or message each under way
//	single-1   1 + 1 connections, shared by 64 publishers and 64 workers
//	batch      4 + 4 connections, 256 publishes open on each, pulls of 64 acknowledged together
package main

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"codeq/bench/compare/load"
)

func connect(server string) jetstream.JetStream {
	connection, err := nats.Connect(server)
	load.Must(err)
	js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(256))
	load.Must(err)
	return js
}

// connections returns n of them for `users`, in turn: n is 1, or as many as there are users.
func connections(o load.Options, n, users int) []jetstream.JetStream {
	var all []jetstream.JetStream
	for i := range users {
		if i < n {
			all = append(all, connect(o.Server))
		} else {
			all = append(all, all[i%n])
		}
	}
	return all
}

func produceSingle(o load.Options, l *load.Load, js jetstream.JetStream) {
	for {
		l.Open(1)
		_, err := js.Publish(context.Background(), "bench", o.Payload)
		load.Must(err)
	}
}

func produceBatch(o load.Options, l *load.Load, js jetstream.JetStream) {
	acks := make(chan jetstream.PubAckFuture, 256)
	go func() {
		for ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				load.Must(err)
			}
		}
	}()
	for {
		l.Open(1)
		ack, err := js.PublishAsync("bench", o.Payload, jetstream.WithStallWait(10*time.Second))
		load.Must(err)
		acks <- ack
	}
}

func consumer(js jetstream.JetStream) jetstream.Consumer {
	c, err := js.Consumer(context.Background(), "BENCH", "workers")
	load.Must(err)
	return c
}

func workSingle(l *load.Load, js jetstream.JetStream) {
	messages, err := consumer(js).Messages(jetstream.PullMaxMessages(1))
	load.Must(err)
	for {
		message, err := messages.Next()
		load.Must(err)
		load.Must(message.DoubleAck(context.Background()))
		l.Done(1)
	}
}

func workBatch(l *load.Load, js jetstream.JetStream) {
	c := consumer(js)
	for {
		batch, err := c.Fetch(64)
		load.Must(err)
		var acks sync.WaitGroup
		for message := range batch.Messages() {
			acks.Go(func() {
				load.Must(message.DoubleAck(context.Background()))
				l.Done(1)
			})
		}
		load.Must(batch.Error())
		acks.Wait()
	}
}

func main() {
	o := load.Parse("single-64", "single-1", "batch")
	setup := connect(o.Server)
	_, err := setup.CreateStream(context.Background(), jetstream.StreamConfig{Name: "BENCH", Subjects: []string{"bench"},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage})
	load.Must(err)
	_, err = setup.CreateConsumer(context.Background(), "BENCH", jetstream.ConsumerConfig{Durable: "workers",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Minute, MaxAckPending: 4096})
	load.Must(err)
	l := load.New(o)
	if o.Mode == "batch" {
		for range 4 {
			go produceBatch(o, l, connect(o.Server))
			go workBatch(l, connect(o.Server))
		}
		select {}
	}
	n := 64
	if o.Mode == "single-1" {
		n = 1
	}
	for _, js := range connections(o, n, 64) {
		go workSingle(l, js)
	}
	for _, js := range connections(o, n, 64) {
		go produceSingle(o, l, js)
	}
	select {}
}

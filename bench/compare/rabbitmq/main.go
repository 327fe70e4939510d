// Full cycles with a RabbitMQ quorum queue: publish confirmed, delivered, acknowledged. AMQP has no answer to an
// acknowledgement, so a completion counts here when it was sent.
//
//	single  1 + 1 connections with 64 channels each, one publish or delivery under way on each; prefetch 100
//	batch   1 + 1 connections with 4 channels each, 256 confirms open on each, acknowledgements of 32 at once
package main

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"

	"codeq/bench/compare/load"
)

const queue = "bench"

func channel(c *amqp.Connection) *amqp.Channel {
	ch, err := c.Channel()
	load.Must(err)
	return ch
}

func produce(o load.Options, l *load.Load, ch *amqp.Channel, open int) {
	load.Must(ch.Confirm(false))
	confirms := make(chan *amqp.DeferredConfirmation, open-1)
	wait := func(c *amqp.DeferredConfirmation) {
		if !c.Wait() {
			panic("a publish was refused")
		}
	}
	if open > 1 {
		go func() {
			for c := range confirms {
				wait(c)
			}
		}()
	}
	for {
		l.Open(1)
		c, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: o.Payload})
		load.Must(err)
		if open > 1 {
			confirms <- c
		} else {
			wait(c)
		}
	}
}

func work(l *load.Load, ch *amqp.Channel, prefetch, together int) {
	load.Must(ch.Qos(prefetch, 0, false))
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	load.Must(err)
	have := 0
	for d := range deliveries {
		// What is there is acknowledged at once; nobody waits for a batch to fill.
		if have++; have == together || len(deliveries) == 0 {
			load.Must(d.Ack(together > 1))
			l.Done(have)
			have = 0
		}
	}
	panic("the server closed a channel")
}

func main() {
	o := load.Parse("single", "batch")
	dial := func() *amqp.Connection {
		c, err := amqp.Dial(o.Server)
		load.Must(err)
		return c
	}
	producers, workers := dial(), dial()
	_, err := channel(producers).QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	load.Must(err)
	l := load.New(o)
	channels, open, prefetch, together := 64, 1, 100, 1
	if o.Mode == "batch" {
		channels, open, prefetch, together = 4, 256, 256, 32
	}
	for range channels {
		go work(l, channel(workers), prefetch, together)
		go produce(o, l, channel(producers), open)
	}
	select {}
}

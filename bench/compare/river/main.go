// Full cycles with River on PostgreSQL: insert committed, worked, and the completion committed (River gathers completions
// and commits them together; its event comes after the commit).
//
//	single  64 producers, one Insert each
//	many    4 producers, InsertMany of 100
//	copy    4 producers, InsertManyFast (COPY) of 100
//
// With completions that wait for up to 50 ms, 1,024 tasks under way would bound the rate; here it is 8,192.
package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"codeq/bench/compare/load"
)

const (
	waitingMax = 8192
	together   = 100
)

type job struct {
	Payload string `json:"payload"`
}

func (job) Kind() string { return "bench" }

type worker struct{ river.WorkerDefaults[job] }

func (worker) Work(context.Context, *river.Job[job]) error { return nil }

func main() {
	o := load.Parse("single", "many", "copy")
	ctx := context.Background()
	config, err := pgxpool.ParseConfig(o.Server)
	load.Must(err)
	config.MaxConns = 80
	pool, err := pgxpool.NewWithConfig(ctx, config)
	load.Must(err)
	driver := riverpgxv5.New(pool)
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	load.Must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	load.Must(err)

	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{})
	client, err := river.NewClient[pgx.Tx](driver, &river.Config{
		FetchCooldown: time.Millisecond, Logger: quiet, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}}})
	load.Must(err)
	// Events that nobody reads in time are dropped, so nobody is ever that late: there is room for all that can wait.
	done, _ := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: 4 * waitingMax, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	load.Must(client.Start(ctx))

	l := load.NewCounted(o, waitingMax, nil)
	go func() {
		for range done {
			l.Done(1)
		}
	}()
	args := job{Payload: string(o.Payload[1 : len(o.Payload)-1])}
	many := make([]river.InsertManyParams, together)
	for i := range many {
		many[i].Args = args
	}
	producers := 4
	if o.Mode == "single" {
		producers = 64
	}
	var turn sync.Mutex
	for range producers {
		go func() {
			for {
				if o.Mode == "single" {
					l.Open(1)
					_, err := client.Insert(ctx, args, nil)
					load.Must(err)
					continue
				}
				turn.Lock()
				l.Open(together)
				turn.Unlock()
				var err error
				if o.Mode == "many" {
					_, err = client.InsertMany(ctx, many)
				} else {
					_, err = client.InsertManyFast(ctx, many)
				}
				load.Must(err)
			}
		}()
	}
	select {}
}

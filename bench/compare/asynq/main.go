// Full cycles with Asynq on Redis: Enqueue answered, handled, and marked done by Asynq's own script.
//
//	single  64 producers, 64 handlers
//
// A handler returns before its task is marked done, so completions are counted where Redis has counted them: in the key that
// the script of the completion increments.
package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"codeq/bench/compare/load"
)

const processedKey = "asynq:{default}:processed" // internal/base: ProcessedTotalKey

func main() {
	o := load.Parse("single")
	redisOptions := asynq.RedisClientOpt{Addr: o.Server, PoolSize: 160}
	counter := redis.NewClient(&redis.Options{Addr: o.Server})
	l := load.NewCounted(o, load.WaitingMax, func() uint64 {
		processed, err := counter.Get(context.Background(), processedKey).Uint64()
		load.Must(err)
		return processed
	})
	client := asynq.NewClient(redisOptions)
	task := asynq.NewTask("bench", o.Payload)
	for range 64 {
		go func() {
			for {
				l.Open(1)
				_, err := client.Enqueue(task)
				load.Must(err)
			}
		}()
	}
	// By default an idle worker looks once a second, which would measure the sleep.
	server := asynq.NewServer(redisOptions,
		asynq.Config{Concurrency: 64, TaskCheckInterval: time.Millisecond, LogLevel: asynq.ErrorLevel})
	load.Must(server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		l.Done(1)
		return nil
	})))
	select {}
}

// streams is a foreign client of the broker's gRPC streams: grpc-go, used as the reference's own client library uses it.
//
//	streams -list     names the cases
//	streams           runs them all at once and prints one JSON line for each: {"case", "ok", "error", "seconds"}
//
// Where the broker is and who may do what comes from the environment, see world.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// world is a running broker: two tenants, of which the first has two workers.
type world struct {
	producerAddr, workerAddr   string
	producer, worker, worker2  string // tokens of the first tenant
	otherProducer, otherWorker string // tokens of the second
	idle                       time.Duration
}

var commands atomic.Int64

// command is a queue that no other case uses.
func (w *world) command() string { return fmt.Sprintf("GO-%d", commands.Add(1)) }

type testCase struct {
	name string
	run  func(*world) error
}

// deadline of every case but the idle one, which adds its idling.
const deadline = 60 * time.Second

func environment() *world {
	get := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			log.Fatalf("%s is not set", name)
		}
		return value
	}
	seconds, err := strconv.Atoi(get("CODEQ_IDLE_SECONDS"))
	if err != nil {
		log.Fatal(err)
	}
	return &world{
		producerAddr: get("CODEQ_PRODUCER_ADDR"), workerAddr: get("CODEQ_WORKER_ADDR"),
		producer: get("CODEQ_PRODUCER_TOKEN"), worker: get("CODEQ_WORKER_TOKEN"), worker2: get("CODEQ_WORKER2_TOKEN"),
		otherProducer: get("CODEQ_OTHER_PRODUCER_TOKEN"), otherWorker: get("CODEQ_OTHER_WORKER_TOKEN"),
		idle: time.Duration(seconds) * time.Second,
	}
}

func main() {
	list := flag.Bool("list", false, "name the cases")
	flag.Parse()
	if *list {
		for _, c := range cases {
			fmt.Println(c.name)
		}
		return
	}
	w := environment()
	var printing sync.Mutex
	var running sync.WaitGroup
	for _, c := range cases {
		running.Add(1)
		go func() {
			defer running.Done()
			begin := time.Now()
			done := make(chan error, 1)
			go func() { done <- c.run(w) }()
			var err error
			select {
			case err = <-done:
			case <-time.After(deadline + w.idle):
				err = fmt.Errorf("does not come to an end")
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			printing.Lock()
			defer printing.Unlock()
			line, _ := json.Marshal(map[string]any{"case": c.name, "ok": err == nil, "error": text, "seconds": time.Since(begin).Seconds()})
			fmt.Println(string(line))
		}()
	}
	running.Wait()
}

func expect(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

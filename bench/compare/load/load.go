// Package load is what the clients of bench/compare share: a closed loop with a bound on what waits, and the count of
// completions.
//
// A client fills the broker with tasks of the payload, takes each, and acknowledges its completion. After the warm-up it
// prints {"completed":N,"ns":T} and again after the measured seconds; whoever started it reads the server's CPU time at
// both lines.
package load

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Options every client takes. The shape of the load is the mode's, not an option: one name, one meaning in the table.
type Options struct {
	Server  string
	Mode    string
	Warmup  time.Duration
	Seconds time.Duration
	Payload []byte
}

// Parse reads the command line. Exits 2 where the mode is not one of `modes`.
func Parse(modes ...string) Options {
	var o Options
	var bytes int
	flag.StringVar(&o.Server, "server", "", "where the peer listens: host:port or URL")
	flag.StringVar(&o.Mode, "mode", modes[0], "one of "+strings.Join(modes, ", "))
	flag.DurationVar(&o.Warmup, "warmup", 2*time.Second, "load before the measurement")
	flag.DurationVar(&o.Seconds, "seconds", 8*time.Second, "length of the measurement")
	flag.IntVar(&bytes, "payload", 300, "bytes of a task's payload")
	flag.Parse()
	for _, mode := range modes {
		if mode == o.Mode {
			o.Payload = []byte(`"` + strings.Repeat("x", bytes-2) + `"`)
			return o
		}
	}
	fmt.Fprintf(os.Stderr, "unknown mode %q, see -help\n", o.Mode)
	os.Exit(2)
	return o
}

// WaitingMax tasks at most are enqueued and not completed, or the faster side would measure a growing backlog.
const WaitingMax = 1024

// Load counts. Safe for any number of goroutines.
type Load struct {
	completed atomic.Uint64
	room      chan struct{}
}

// New starts the clock: the two lines come by themselves and the process ends with the second, status 0 if anything was
// completed.
func New(o Options) *Load { return NewCounted(o, WaitingMax, nil) }

// NewCounted is for SDKs that acknowledge behind their user's back. `count`, where given, asks the server how many
// completions it has acknowledged.
func NewCounted(o Options, waitingMax int, count func() uint64) *Load {
	l := &Load{room: make(chan struct{}, waitingMax)}
	if count == nil {
		count = l.completed.Load
	}
	began := time.Now()
	line := func() uint64 {
		completed := count()
		fmt.Printf("{\"completed\":%d,\"ns\":%d}\n", completed, time.Since(began).Nanoseconds())
		return completed
	}
	time.AfterFunc(o.Warmup, func() {
		before := line()
		time.Sleep(o.Seconds)
		if line() == before {
			log.Fatal("nothing was completed")
		}
		os.Exit(0)
	})
	return l
}

// Open waits until there is room for n more tasks. One caller at a time may ask for more than one, or two could wait for
// each other for ever.
func (l *Load) Open(n int) {
	for range n {
		l.room <- struct{}{}
	}
}

// Done counts n completions that the broker has acknowledged.
func (l *Load) Done(n int) {
	l.completed.Add(uint64(n))
	for range n {
		<-l.room
	}
}

// Must ends the process: a peer that refuses a call is not being measured.
func Must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

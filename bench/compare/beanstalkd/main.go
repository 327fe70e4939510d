// Full cycles against beanstalkd: put, reserve, delete, each answered.
//
//	single     64 + 64 connections, one command each under way
//	pipelined  4 + 4 connections, 64 commands sent in one write and their answers read
//
// The protocol is written by hand: it is four lines, and the Go client flushes every command, which is no pipeline.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync"

	"codeq/bench/compare/load"
)

type connection struct {
	net.Conn
	in *bufio.Reader
}

func dial(server string) connection {
	c, err := net.Dial("tcp", server)
	load.Must(err)
	return connection{c, bufio.NewReaderSize(c, 64<<10)}
}

// Expects a line that begins with `word`; returns the rest, valid until the next read.
func (c connection) expect(word string) []byte {
	line, err := c.in.ReadSlice('\n')
	load.Must(err)
	if !bytes.HasPrefix(line, []byte(word)) {
		load.Must(fmt.Errorf("%q where %q was expected", line, word))
	}
	return bytes.TrimSpace(line[len(word):])
}

func (c connection) send(commands []byte) {
	_, err := c.Write(commands)
	load.Must(err)
}

// Puts `depth` tasks at a time. `turn` lets one producer at a time wait for room.
func produce(o load.Options, l *load.Load, depth int, turn *sync.Mutex) {
	c := dial(o.Server)
	put := fmt.Appendf(nil, "put 1024 0 300 %d\r\n%s\r\n", len(o.Payload), o.Payload)
	puts := bytes.Repeat(put, depth)
	for {
		turn.Lock()
		l.Open(depth)
		turn.Unlock()
		c.send(puts)
		for range depth {
			c.expect("INSERTED ")
		}
	}
}

// Deletes what it has and reserves as many, in one write: a reserve that waits holds up only what is sent after it.
func work(o load.Options, l *load.Load, depth int) {
	c := dial(o.Server)
	reserves := bytes.Repeat([]byte("reserve\r\n"), depth)
	c.send(reserves)
	var out []byte
	for {
		out = out[:0]
		for range depth {
			id, size, _ := bytes.Cut(c.expect("RESERVED "), []byte(" "))
			out = append(append(append(out, "delete "...), id...), "\r\n"...)
			length, err := strconv.Atoi(string(size))
			load.Must(err)
			_, err = c.in.Discard(length + 2)
			load.Must(err)
		}
		if depth == 1 { // one command under way, as its name says
			c.send(out)
			c.expect("DELETED")
			l.Done(1)
			c.send(reserves)
			continue
		}
		c.send(append(out, reserves...))
		for range depth {
			c.expect("DELETED")
		}
		l.Done(depth)
	}
}

func main() {
	o := load.Parse("single", "pipelined")
	connections, depth := 64, 1
	if o.Mode == "pipelined" {
		connections, depth = 4, 64
	}
	l := load.New(o)
	var turn sync.Mutex
	for range connections {
		go work(o, l, depth)
		go produce(o, l, depth, &turn)
	}
	select {}
}

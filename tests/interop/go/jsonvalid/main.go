// jsonvalid judges JSON documents as Go's encoding/json does, for the test beside our own scanner.
//
// In:   per document its length, 4 bytes little-endian, then its bytes
// Out:  per document '1' if it is valid JSON made of valid UTF-8 (which json.Valid alone does not ask for), else '0'
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"unicode/utf8"
)

func main() {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for {
		var length uint32
		err := binary.Read(in, binary.LittleEndian, &length)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		document := make([]byte, length)
		if _, err := io.ReadFull(in, document); err != nil {
			log.Fatal(err)
		}
		answer := byte('0')
		if json.Valid(document) && utf8.Valid(document) {
			answer = '1'
		}
		if err := out.WriteByte(answer); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// The mapped queue read from Go: cgo to set up and to arm, plain memory to read completions. One
// goroutine sleeps on the queue's descriptor, either parked by the runtime's poller, which is
// edge-triggered, or in a level-triggered epoll of its own.
//
//	reader edge|level [seed]
package main

// #include "senders.h"
import "C"

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// As <ferry/completion.h> says; the layout is frozen.
type completion struct {
	tag, op               uint64
	result                int64
	status, osError       int32
	opcode, reserved      uint16
	flags                 uint32
	handle, data, release uint64
}

const (
	capacity  = 64
	fromPosts = 0
	fromNops  = 1
)

type reader struct {
	queue    *C.ferry_queue
	records  []completion
	head     *uint32
	tail     *uint32
	next     [2]uint64 // The number that each sender's next message must have.
	wanted   [2]uint64
	position uint32
	taken    uint64
	sleeps   uint64
}

func check(status C.int32_t) C.int32_t {
	if status < 0 {
		log.Fatalf("status %d", status)
	}
	return status
}

// One load of the tail and one store of the head for all that waits. No call into C.
func (r *reader) read() {
	tail := atomic.LoadUint32(r.tail)
	for ; r.position != tail; r.position++ {
		record := &r.records[r.position%capacity]
		sender, number := record.tag>>32, record.tag&0xffffffff
		if record.status != 0 || number != r.next[sender] {
			log.Fatalf("sender %d: message %d for %d", sender, number, r.next[sender])
		}
		r.next[sender]++
		r.taken++
	}
	atomic.StoreUint32(r.head, r.position)
}

// Reads all there is. True: that was everything; false: the queue is empty and armed, sleep.
func (r *reader) readUntilEmpty() bool {
	for {
		r.read()
		if r.next == r.wanted {
			return true
		}
		if check(C.ferry_queue_arm(r.queue)) == 0 {
			r.sleeps++
			return false
		}
	}
}

// The runtime's poller watches a duplicate, which it may close: the descriptor is the queue's.
func edgeTriggered(fd int) func(*reader) {
	duplicate, err := syscall.Dup(fd)
	if err != nil {
		log.Fatal(err)
	}
	if err := syscall.SetNonblock(duplicate, true); err != nil {
		log.Fatal(err)
	}
	file := os.NewFile(uintptr(duplicate), "queue")
	connection, err := file.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	return func(r *reader) {
		// Parks the goroutine whenever the function says false, and calls it again when woken.
		if err := connection.Read(func(uintptr) bool { return r.readUntilEmpty() }); err != nil {
			log.Fatal(err)
		}
	}
}

func levelTriggered(fd int) func(*reader) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		log.Fatal(err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		log.Fatal(err)
	}
	return func(r *reader) {
		events := make([]syscall.EpollEvent, 1)
		for !r.readUntilEmpty() {
			_, err := syscall.EpollWait(epoll, events, -1)
			if err != nil && err != syscall.EINTR {
				log.Fatal(err)
			}
		}
	}
}

func open() (*C.ferry_engine, *reader, int) {
	var engine *C.ferry_engine
	engineOptions := C.ferry_engine_options{shards: 1}
	engineOptions.struct_size = C.uint32_t(unsafe.Sizeof(engineOptions))
	check(C.ferry_engine_create(&engineOptions, &engine))

	r := &reader{}
	options := C.ferry_queue_options{mode: C.FERRY_QUEUE_MAPPED, capacity: capacity}
	options.struct_size = C.uint32_t(unsafe.Sizeof(options))
	check(C.ferry_queue_create(engine, &options, &r.queue))

	var mapping C.ferry_queue_mapping
	mapping.struct_size = C.uint32_t(unsafe.Sizeof(mapping))
	check(C.ferry_queue_map(r.queue, &mapping))
	r.records = unsafe.Slice((*completion)(unsafe.Pointer(mapping.records)), capacity)
	r.head = (*uint32)(unsafe.Pointer(mapping.head))
	r.tail = (*uint32)(unsafe.Pointer(mapping.tail))

	var fd C.int32_t
	check(C.ferry_queue_fd(r.queue, &fd))
	return engine, r, int(fd)
}

func main() {
	seed := uint64(time.Now().UnixNano())
	if len(os.Args) > 2 {
		seed, _ = strconv.ParseUint(os.Args[2], 0, 64)
	}
	fmt.Println("seed", seed)
	time.AfterFunc(time.Minute, func() { log.Fatal("a wake-up was lost") })

	engine, r, fd := open()
	read := levelTriggered(fd)
	if os.Args[1] == "edge" {
		read = edgeTriggered(fd)
	}
	// Each sender alone, for nobody else makes good then what one's wake-up lost; and both together.
	for which := C.uint32_t(C.SENDERS_POST); which <= C.SENDERS_POST|C.SENDERS_NOP; which++ {
		const count = 250000
		r.next = [2]uint64{}
		r.wanted = [2]uint64{}
		if which&C.SENDERS_POST != 0 {
			r.wanted[fromPosts] = count
		}
		if which&C.SENDERS_NOP != 0 {
			r.wanted[fromNops] = count
		}
		threads := C.senders_start(r.queue, which, count, C.uint64_t(seed))
		if threads == nil {
			log.Fatal("the senders do not start")
		}
		done := make(chan struct{})
		go func() {
			read(r)
			close(done)
		}()
		<-done
		check(C.senders_join(threads))
	}
	check(C.ferry_queue_destroy(r.queue))
	check(C.ferry_engine_shutdown(engine, C.FERRY_FOREVER))
	check(C.ferry_engine_destroy(engine))
	fmt.Printf("go, %s: %d messages, slept %d times\n", os.Args[1], r.taken, r.sleeps)
	if r.taken < 1000000 || r.sleeps < 2000 {
		log.Fatal("too little to have shown anything")
	}
}

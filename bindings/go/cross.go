package ferry

/*
#cgo LDFLAGS: -lferry
#include <ferry.h>
#include <ferry/layout.h>
#include <stdlib.h>

// Everything that one crossing does. It lies in C memory, with all that it points to.
typedef struct crossing {
	ferry_engine *engine;
	ferry_queue *queue;
	ferry_request *requests;
	ferry_op *ops;
	uint64_t *releases, *discards, *cancels;
	size_t request_count, release_count, discard_count, cancel_count;
	size_t accepted;
	int32_t status;
	int32_t arm;
	int32_t run; // The engine has no thread: this one does its work.
} crossing;

static void cross(crossing *c) {
	c->accepted = 0;
	c->status = 0;
	if (c->request_count > 0)
		c->status = ferry_queue_submit(c->queue, c->requests, c->request_count, c->ops, &c->accepted);
	for (size_t i = 0; i < c->cancel_count; i++)
		ferry_queue_cancel(c->queue, c->cancels[i]);
	for (size_t i = 0; i < c->discard_count; i++)
		ferry_handle_discard(c->engine, c->discards[i]);
	ferry_buffers_release(c->engine, c->releases, c->release_count);
	if (c->run)
		ferry_engine_run(c->engine, 0, 0, NULL);
	if (c->arm)
		c->arm = ferry_queue_arm(c->queue);
}

static ferry_status create(ferry_engine_options *engine_options, ferry_queue_options *queue_options,
                           ferry_engine **engine, ferry_queue **queue,
                           ferry_queue_mapping *mapping, int32_t *fd) {
	ferry_status status = ferry_engine_create(engine_options, engine);
	if (status)
		return status;
	status = ferry_queue_create(*engine, queue_options, queue);
	if (!status)
		status = ferry_queue_map(*queue, mapping);
	if (!status)
		status = engine_options->shards ? ferry_queue_fd(*queue, fd) : ferry_engine_fd(*engine, fd);
	if (status) {
		ferry_engine_shutdown(*engine, FERRY_FOREVER);
		ferry_engine_destroy(*engine);
	}
	return status;
}
*/
import "C"

import (
	"unsafe"

	"ferry/raw"
)

// What C has made for an engine.
type native struct {
	engine  *C.ferry_engine
	queue   *C.ferry_queue
	records []raw.Completion // The mapped ring.
	head    *uint32
	tail    *uint32
	held    *uint32
	fd      int  // Readable when there is something to do.
	driven  bool // Whoever arms runs the engine first.
}

func createNative(engine raw.EngineOptions, queue raw.QueueOptions) (native, Status) {
	var n native
	engine.StructSize = uint32(unsafe.Sizeof(engine))
	queue.StructSize = uint32(unsafe.Sizeof(queue))
	mapping := raw.QueueMapping{StructSize: uint32(unsafe.Sizeof(raw.QueueMapping{}))}
	var fd C.int32_t
	status := C.create((*C.ferry_engine_options)(unsafe.Pointer(&engine)),
		(*C.ferry_queue_options)(unsafe.Pointer(&queue)), &n.engine, &n.queue,
		(*C.ferry_queue_mapping)(unsafe.Pointer(&mapping)), &fd)
	if status != 0 {
		return native{}, Status(status)
	}
	n.records = unsafe.Slice((*raw.Completion)(address(mapping.Records)), mapping.Capacity)
	n.head = (*uint32)(address(mapping.Head))
	n.tail = (*uint32)(address(mapping.Tail))
	n.held = (*uint32)(address(mapping.Flags))
	n.fd = int(fd)
	n.driven = engine.Shards == 0
	return n, 0
}

// address makes a pointer of a C address. It never names Go memory, so the collector has no say.
func address(number uint64) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&number))
}

func number(pointer unsafe.Pointer) uint64 {
	return uint64(uintptr(pointer))
}

// lentBytes views C memory.
func lentBytes(at uint64, size int64) []byte {
	return unsafe.Slice((*byte)(address(at)), size)
}

func (n *native) shutdown(timeoutNs uint64) Status {
	return Status(C.ferry_engine_shutdown(n.engine, C.uint64_t(timeoutNs)))
}

func (n *native) destroy() Status {
	if status := C.ferry_queue_destroy(n.queue); status != 0 {
		return Status(status)
	}
	return Status(C.ferry_engine_destroy(n.engine))
}

func (n *native) info() (raw.EngineInfo, Status) {
	info := raw.EngineInfo{StructSize: uint32(unsafe.Sizeof(raw.EngineInfo{}))}
	status := C.ferry_engine_get_info(n.engine, (*C.ferry_engine_info)(unsafe.Pointer(&info)))
	return info, Status(status)
}

// driverName is a static string of the library's.
func driverName(info *raw.EngineInfo) string {
	return C.GoString(*(**C.char)(unsafe.Pointer(&info.Driver)))
}

func (n *native) post(tag uint64, result int64, data uint64) Status {
	return Status(C.ferry_queue_post(n.queue, C.uint64_t(tag), C.int64_t(result), C.uint64_t(data)))
}

// cross does one crossing for all that the batch has gathered. With arm it also asks whether the
// queue is empty, and says so.
func (n *native) cross(b *batch, arm bool) (accepted int, status Status, empty bool) {
	c := b.crossing
	c.engine, c.queue = n.engine, n.queue
	c.request_count = C.size_t(len(b.entries))
	c.cancel_count = C.size_t(b.cancels.count)
	c.discard_count = C.size_t(b.discards.count)
	c.release_count = C.size_t(b.releases.count)
	c.arm, c.run = 0, 0
	if arm {
		c.arm = 1
		if n.driven {
			c.run = 1
		}
	}
	C.cross(c)
	return int(c.accepted), Status(c.status), arm && c.arm <= 0
}

// batch is what has been gathered for the next crossing. All of it but the entries is C memory: the
// engine copies what it needs while it is submitted, so the batch can be filled again at once.
type batch struct {
	entries  []entry
	requests []raw.Request
	ops      []uint64
	releases numbers
	discards numbers
	cancels  numbers
	arena    []byte // What requests borrow: paths, names, children, small writes.
	used     int
	crossing *C.crossing
	memory   unsafe.Pointer
}

// entry is a request's operation, and which of its submissions it is.
type entry struct {
	op         *op
	submission uint64
}

type numbers struct {
	places []uint64
	count  int
}

func (n *numbers) add(number uint64) {
	n.places[n.count] = number
	n.count++
}

func (n *numbers) full() bool { return n.count == len(n.places) }

const (
	batchRequests = 256
	batchNumbers  = 1024
	arenaBytes    = 512 << 10 // A request of 64 children with the longest paths fits.
)

func newBatch() *batch {
	size := unsafe.Sizeof(C.crossing{}) + batchRequests*(unsafe.Sizeof(raw.Request{})+8) +
		3*batchNumbers*8 + arenaBytes
	b := &batch{memory: C.malloc(C.size_t(size)), entries: make([]entry, 0, batchRequests)}
	at := b.memory
	take := func(size uintptr) unsafe.Pointer {
		taken := at
		at = unsafe.Add(at, size)
		return taken
	}
	b.crossing = (*C.crossing)(take(unsafe.Sizeof(C.crossing{})))
	b.requests = unsafe.Slice((*raw.Request)(take(batchRequests*unsafe.Sizeof(raw.Request{}))), batchRequests)
	b.ops = unsafe.Slice((*uint64)(take(batchRequests*8)), batchRequests)
	for _, list := range []*numbers{&b.releases, &b.discards, &b.cancels} {
		list.places = unsafe.Slice((*uint64)(take(batchNumbers*8)), batchNumbers)
	}
	b.arena = unsafe.Slice((*byte)(at), arenaBytes)
	c := b.crossing
	*c = C.crossing{
		requests: (*C.ferry_request)(unsafe.Pointer(&b.requests[0])),
		ops:      (*C.ferry_op)(unsafe.Pointer(&b.ops[0])),
		releases: (*C.uint64_t)(unsafe.Pointer(&b.releases.places[0])),
		discards: (*C.uint64_t)(unsafe.Pointer(&b.discards.places[0])),
		cancels:  (*C.uint64_t)(unsafe.Pointer(&b.cancels.places[0])),
	}
	return b
}

func (b *batch) free() { C.free(b.memory) }

func (b *batch) reset() {
	for i := range b.entries {
		b.entries[i].op = nil
	}
	b.entries = b.entries[:0]
	b.releases.count, b.discards.count, b.cancels.count = 0, 0, 0
	b.used = 0
}

func (b *batch) empty() bool {
	return len(b.entries) == 0 && b.releases.count == 0 && b.discards.count == 0 && b.cancels.count == 0
}

// room takes so many bytes of the arena; the caller has asked fits.
func (b *batch) room(size int) []byte {
	begin := (b.used + 7) &^ 7
	b.used = begin + size
	return b.arena[begin:b.used:b.used]
}

func (b *batch) fits(borrowed int) bool {
	return len(b.entries) < batchRequests && b.used+borrowed <= arenaBytes
}

func allocateC(size int) unsafe.Pointer { return C.malloc(C.size_t(size)) }
func freeC(memory unsafe.Pointer)       { C.free(memory) }

// layoutOf asks the loaded library where it has a record's field; see ferry/layout.h.
func layoutOf(record, field string) (size, offset int32) {
	name := C.CString(record)
	defer C.free(unsafe.Pointer(name))
	var place *C.char
	if field != "" {
		place = C.CString(field)
		defer C.free(unsafe.Pointer(place))
	}
	return int32(C.ferry_layout_size(name, place)), int32(C.ferry_layout_offset(name, place))
}

func childHandle(index, level uint32) uint64 {
	return uint64(C.ferry_child_handle(C.uint32_t(index), C.uint32_t(level)))
}

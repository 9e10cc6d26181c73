package ferry

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ferry/raw"
)

// Driver is what is below an engine.
type Driver int

// What may be below an engine.
const (
	DriverAuto  Driver = raw.DriverAuto  // io_uring where it works, libuv otherwise and for the rest.
	DriverUV    Driver = raw.DriverUv    // libuv and worker threads only.
	DriverURing Driver = raw.DriverUring // io_uring, or New fails with ErrUnsupported.
)

// Options says how to make an Engine. Every field's 0 is its default.
type Options struct {
	// Shards is how many loops there are, each on a thread of the engine's. 1 is the default, and
	// enough as long as one core can do the system calls: Go's own threads do the rest. Take more
	// when the engine's thread is busy all the time; each connection then lives on one of them.
	Shards int
	// NoThread is an engine without a thread of its own: the goroutine that reads completions runs
	// it, too. It costs least where one core does everything (GOMAXPROCS=1).
	NoThread       bool
	Ops            int   // Operations in flight per shard; 16,384.
	Handles        int   // Handles open per shard; 65,536.
	Workers        int   // Threads for file work that blocks; 4.
	NameWorkers    int   // Threads for looking up names; 4.
	BufferBytesMax int64 // Bytes lent at once, received or loaded; 256 MiB each.
	Ring           int   // Places in the queue's ring; 1,024.
	// Driver is what is below the engine. With NoThread it is libuv: an io_uring belongs to one
	// thread.
	Driver      Driver
	RingWithout uint64 // What must not go through io_uring, though it could: raw.Ring... bits.
}

// Engine is a Ferry engine with one queue. All of its methods may be called by any goroutine. Close
// it when it is no longer needed; it is never closed by the collector.
type Engine struct {
	native  native
	closing atomic.Bool
	stop    atomic.Bool
	reaped  chan struct{} // Closed when the reaper has ended.
	bell    *os.File      // The runtime's poller watches this duplicate of the queue's descriptor.

	crossing sync.Mutex   // One crossing at a time, so that requests stay in order.
	life     sync.RWMutex // Held to read where C memory may be used, to write when it goes.
	gone     bool         // Guarded by life.
	shutting sync.Mutex

	mu      sync.Mutex // Guards all below.
	filling *batch
	spare   *batch
	awake   bool // The reaper crosses before it sleeps: nobody else needs to.
	claimed bool // Somebody is about to cross for all.
	refuse  bool
	ops     []*op // By tag.
	free    []uint32

	crossings, sleeps, completions atomic.Uint64

	blocks blocks
}

// New makes an engine; opts may be nil.
func New(opts *Options) (*Engine, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	flags := uint32(0)
	if o.NoThread {
		flags = raw.EngineAnyThread
	} else if o.Shards == 0 {
		o.Shards = 1
	}
	for _, number := range []int{o.Shards, o.Ops, o.Handles, o.Workers, o.NameWorkers, o.Ring} {
		if number < 0 || number > 1<<30 {
			return nil, &Error{Op: "new engine", Status: ErrInvalid}
		}
	}
	if o.BufferBytesMax < 0 {
		return nil, &Error{Op: "new engine", Status: ErrInvalid}
	}
	n, status := createNative(raw.EngineOptions{
		Flags: flags, Shards: uint32(o.Shards), OpsMax: uint32(o.Ops), HandlesMax: uint32(o.Handles),
		WorkersMax: uint32(o.Workers), NameWorkersMax: uint32(o.NameWorkers),
		BufferBytesMax: uint64(o.BufferBytesMax), Driver: uint32(o.Driver),
		RingWithout: o.RingWithout,
	}, raw.QueueOptions{Mode: raw.QueueMapped, Capacity: uint32(o.Ring)})
	if status != 0 {
		return nil, &Error{Op: "new engine", Status: status}
	}
	e := &Engine{native: n, reaped: make(chan struct{}), filling: newBatch(), spare: newBatch()}
	if err := e.startReaper(); err != nil {
		e.native.shutdown(raw.Forever)
		e.destroy()
		return nil, err
	}
	return e, nil
}

// The runtime closes what it polls, so it gets a duplicate: the descriptor is the queue's.
func (e *Engine) startReaper() error {
	duplicate, err := syscall.Dup(e.native.fd)
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(duplicate)
	if err := syscall.SetNonblock(duplicate, true); err != nil {
		syscall.Close(duplicate)
		return os.NewSyscallError("fcntl", err)
	}
	e.bell = os.NewFile(uintptr(duplicate), "ferry queue")
	connection, err := e.bell.SyscallConn()
	if err != nil {
		e.bell.Close()
		return err
	}
	e.awake = true
	r := &reaper{engine: e, head: atomic.LoadUint32(e.native.head)}
	go func() {
		defer close(e.reaped)
		// Parks this goroutine whenever run says false, and calls it again when the queue rings.
		for connection.Read(func(uintptr) bool { return r.run() }) != nil {
			if e.stop.Load() { // The deadline that Shutdown set has woken it.
				r.run()
				return
			}
			e.bell.SetReadDeadline(time.Time{})
		}
	}()
	return nil
}

// Close ends everything: what is pending fails with ErrShutdown, handles are closed, threads and
// memory go back. It waits for what the system does not let go of yet. Closing again is fine.
func (e *Engine) Close() error { return e.Shutdown(context.Background()) }

// Shutdown is Close with a bound on how long it may wait. After an error it may be called again.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.shutting.Lock()
	defer e.shutting.Unlock()
	if e.gone {
		return nil
	}
	e.closing.Store(true)
	for {
		status := e.native.shutdown(uint64(100 * time.Millisecond))
		if status == 0 {
			break
		}
		if status == ErrBusy { // The reaper is within a run.
			runtime.Gosched()
			continue
		}
		if status != ErrTimedOut {
			return &Error{Op: "shutdown", Status: status}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	// What ended is in the ring now; the reaper takes that, and then ends, too.
	e.stop.Store(true)
	e.bell.SetReadDeadline(time.Unix(1, 0))
	<-e.reaped
	e.bell.Close()
	e.mu.Lock()
	e.refuse = true
	e.mu.Unlock()
	e.flush()
	return e.destroy()
}

func (e *Engine) destroy() error {
	e.crossing.Lock()
	defer e.crossing.Unlock()
	e.life.Lock()
	defer e.life.Unlock()
	e.gone = true
	if status := e.native.destroy(); status != 0 {
		return &Error{Op: "destroy", Status: status}
	}
	e.filling.free()
	e.spare.free()
	e.blocks.drain()
	return nil
}

// enter keeps the engine's memory where it is until leave; false: it has gone.
func (e *Engine) enter() bool {
	e.life.RLock()
	if e.gone {
		e.life.RUnlock()
		return false
	}
	return true
}

func (e *Engine) leave() { e.life.RUnlock() }

// Info is a look inside an engine.
type Info struct {
	OpsInFlight, HandlesOpen, BuffersLent, BufferBytesLent uint64
	Workers, WorkersDetached                               int
	Driver                                                 string // "uv", or "uring".
	RingBits                                               uint64 // What goes through io_uring: raw.Ring... bits.

	// What the binding did since the engine was made.
	Crossings   uint64 // Calls into C that submitted, gave back or armed.
	Sleeps      uint64 // How often the reaper found nothing to do, and was woken again.
	Completions uint64
}

// Info counts what is going on just now.
func (e *Engine) Info() (Info, error) {
	if !e.enter() {
		return Info{}, &Error{Op: "info", Status: ErrShutdown}
	}
	defer e.leave()
	info, status := e.native.info()
	if status != 0 {
		return Info{}, &Error{Op: "info", Status: status}
	}
	return Info{info.OpsInFlight, info.HandlesOpen, info.BuffersLent, info.BufferBytesLent,
		int(info.Workers), int(info.WorkersDetached), driverName(&info), info.Ring,
		e.crossings.Load(), e.sleeps.Load(), e.completions.Load()}, nil
}

// op is an operation's place in the engine's table while it is in flight. It may be submitted again
// when its final completion has come.
type op struct {
	owner      completer
	submission uint64 // Counts its submissions. This and all below are the engine's, under its mu.
	id         uint64 // Of the latest; 0 before it is known.
	tag        uint32
	active     bool
	cancel     bool // Cancel it as soon as the id is known.
}

// completer is told of each completion, by the reaper; it must be quick and must not keep c.
type completer interface {
	completed(o *op, c *raw.Completion)
}

// request is a raw request with what it borrows.
type request struct {
	raw    raw.Request
	encode func(b *batch, r *raw.Request) // Puts what is borrowed into the batch; may be nil.
	bytes  int                            // At most so many.
}

// submit adds a request to the batch.
func (e *Engine) submit(o *op, r *request) {
	e.mu.Lock()
	for !e.refuse && !e.filling.fits(r.bytes) {
		e.mu.Unlock()
		e.flush()
		e.mu.Lock()
	}
	if e.refuse {
		e.mu.Unlock()
		o.owner.completed(o, &raw.Completion{Opcode: r.raw.Opcode, Status: int32(ErrShutdown)})
		return
	}
	b := e.filling
	o.submission++
	o.id, o.cancel, o.active = 0, false, true
	o.tag = e.take(o)
	place := &b.requests[len(b.entries)]
	*place = r.raw
	place.Tag = uint64(o.tag)
	if r.encode != nil {
		r.encode(b, place)
	}
	b.entries = append(b.entries, entry{o, o.submission})
	e.unlockAndCross()
}

func (e *Engine) take(o *op) uint32 {
	if last := len(e.free) - 1; last >= 0 {
		tag := e.free[last]
		e.free = e.free[:last]
		e.ops[tag] = o
		return tag
	}
	e.ops = append(e.ops, o)
	return uint32(len(e.ops) - 1)
}

func (e *Engine) give(o *op) {
	o.active = false
	e.ops[o.tag] = nil
	e.free = append(e.free, o.tag)
}

// cancel asks for an operation to end early; it completes all the same. One that is not in flight is
// left alone.
func (e *Engine) cancel(o *op) {
	e.mu.Lock()
	if !o.active || o.cancel {
		e.mu.Unlock()
		return
	}
	o.cancel = true
	if o.id == 0 { // Not submitted yet: whoever submits it will see.
		e.mu.Unlock()
		return
	}
	e.addNumber(func(b *batch) *numbers { return &b.cancels }, o.id)
}

// release gives a lent buffer back.
func (e *Engine) release(buffer uint64) {
	e.mu.Lock()
	e.addNumber(func(b *batch) *numbers { return &b.releases }, buffer)
}

// discard closes a handle without a completion.
func (e *Engine) discard(handle uint64) {
	e.mu.Lock()
	e.addNumber(func(b *batch) *numbers { return &b.discards }, handle)
}

// addNumber is called with mu held, and unlocks it.
func (e *Engine) addNumber(list func(*batch) *numbers, number uint64) {
	for !e.refuse && list(e.filling).full() {
		e.mu.Unlock()
		e.flush()
		e.mu.Lock()
	}
	if e.refuse {
		e.mu.Unlock()
		return
	}
	list(e.filling).add(number)
	e.unlockAndCross()
}

// Whoever finds the batch empty crosses for all who come until it runs again; while the reaper is
// awake it does.
func (e *Engine) unlockAndCross() {
	mine := !e.awake && !e.claimed
	if mine {
		e.claimed = true
	}
	e.mu.Unlock()
	if mine {
		runtime.Gosched()
		e.flush()
	}
}

// flush crosses with what has been gathered.
func (e *Engine) flush() { e.cross(false) }

// cross hands everything gathered over. With arm it says whether the ring was empty.
func (e *Engine) cross(arm bool) (empty bool) {
	e.crossing.Lock()
	e.mu.Lock()
	b := e.filling
	e.filling, e.spare = e.spare, b
	e.claimed = false
	e.mu.Unlock()
	if !arm && b.empty() {
		e.crossing.Unlock()
		return false
	}
	if !e.enter() {
		e.refuseAll(b, 0, ErrShutdown)
		b.reset()
		e.crossing.Unlock()
		return true
	}
	e.crossings.Add(1)
	accepted, status, empty := e.native.cross(b, arm)
	e.leave()
	cancel := e.note(b, 0, accepted)
	refused := e.retryRefused(b, accepted, status, &cancel)
	b.reset()
	e.crossing.Unlock()
	for _, r := range refused {
		r.op.owner.completed(r.op, &raw.Completion{Status: int32(r.status), Tag: uint64(r.op.tag)})
	}
	for _, o := range cancel {
		e.cancelKnown(o)
	}
	return empty
}

type refusal struct {
	op     *op
	status Status
}

// A refused request stops those behind it, which are no worse for it.
func (e *Engine) retryRefused(b *batch, done int, status Status, cancel *[]*op) []refusal {
	var refused []refusal
	for done < len(b.entries) {
		refused = append(refused, e.refusalOf(b.entries[done].op, status))
		done++
		rest := len(b.entries) - done
		if rest == 0 {
			break
		}
		copy(b.requests, b.requests[done:len(b.entries)])
		b.entries = b.entries[:copy(b.entries, b.entries[done:])]
		b.releases.count, b.discards.count, b.cancels.count = 0, 0, 0
		accepted := 0
		status = ErrShutdown
		if e.enter() {
			accepted, status, _ = e.native.cross(b, false)
			e.leave()
		}
		*cancel = append(*cancel, e.note(b, 0, accepted)...)
		done = accepted
	}
	return refused
}

func (e *Engine) refusalOf(o *op, status Status) refusal {
	e.mu.Lock()
	e.give(o)
	e.mu.Unlock()
	return refusal{o, status}
}

func (e *Engine) refuseAll(b *batch, from int, status Status) {
	for _, entry := range b.entries[from:] {
		r := e.refusalOf(entry.op, status)
		r.op.owner.completed(r.op, &raw.Completion{Status: int32(status)})
	}
}

// note stores the ids of what was accepted, and tells which of it was cancelled meanwhile.
func (e *Engine) note(b *batch, from, to int) (cancel []*op) {
	e.mu.Lock()
	for i := from; i < to; i++ {
		o := b.entries[i].op
		if o.submission == b.entries[i].submission {
			o.id = b.ops[i]
			if o.cancel && o.active {
				cancel = append(cancel, o)
			}
		}
	}
	e.mu.Unlock()
	return cancel
}

func (e *Engine) cancelKnown(o *op) {
	e.mu.Lock()
	if !o.active {
		e.mu.Unlock()
		return
	}
	e.addNumber(func(b *batch) *numbers { return &b.cancels }, o.id)
}

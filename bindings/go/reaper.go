package ferry

import (
	"runtime"
	"sync/atomic"

	"ferry/raw"
)

// reaper reads the mapped ring. It is one goroutine, parked on the queue's descriptor.
type reaper struct {
	engine *Engine
	head   uint32
	ops    [reapedAtOnce]*op
}

const reapedAtOnce = 256

// run takes all there is, crosses for those it woke, and says false when the queue is empty and
// armed: sleep. True: the engine has stopped.
func (r *reaper) run() bool {
	e := r.engine
	e.mu.Lock()
	e.awake = true
	e.mu.Unlock()
	for {
		stop := e.stop.Load() // Before the ring is found empty: what came later is not in it.
		if r.takeAll() {
			// Those who were woken add their requests to the batch while this goroutine waits for
			// its turn; then one crossing submits them all.
			runtime.Gosched()
		}
		if !e.cross(true) {
			continue
		}
		e.mu.Lock()
		if e.filling.empty() {
			e.awake = false
			e.mu.Unlock()
			e.sleeps.Add(1)
			return stop
		}
		e.mu.Unlock()
	}
}

func (r *reaper) takeAll() bool {
	any := false
	for {
		tail := atomic.LoadUint32(r.engine.native.tail)
		if tail == r.head {
			return any
		}
		count := tail - r.head
		if count > reapedAtOnce {
			count = reapedAtOnce
		}
		r.take(r.head, r.head+count)
		any = true
	}
}

// take tells the owners of the completions [from, to), then gives their places back.
func (r *reaper) take(from, to uint32) {
	e := r.engine
	records := e.native.records
	mask := uint32(len(records) - 1)
	e.mu.Lock()
	for i := from; i != to; i++ {
		c := &records[i&mask]
		var o *op
		if c.Tag < uint64(len(e.ops)) {
			o = e.ops[c.Tag]
		}
		r.ops[i-from] = o
		if o != nil && c.Op != raw.None && c.Flags&raw.More == 0 {
			e.give(o)
		}
	}
	e.mu.Unlock()
	for i := from; i != to; i++ {
		if o := r.ops[i-from]; o != nil {
			o.owner.completed(o, &records[i&mask])
			r.ops[i-from] = nil
		}
	}
	e.completions.Add(uint64(to - from))
	r.head = to
	atomic.StoreUint32(e.native.head, to)
}

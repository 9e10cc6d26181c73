package ferry

import (
	"context"
	"runtime"
	"sync"
	"time"

	"ferry/raw"
)

// Sleep waits for a time, or until the context ends.
func (e *Engine) Sleep(ctx context.Context, d time.Duration) error {
	r := SleepFor(d)
	done := e.do(ctx, &request{raw: r.raw})
	return failure(ctx, "sleep", "", &done)
}

// Ticker sends the time on C again and again. It drops ticks that nobody takes, as time.Ticker does.
type Ticker struct {
	C <-chan time.Time
	*ticker
}

type ticker struct {
	e     *Engine
	op    op
	ticks chan time.Time
	ended chan struct{}
	once  sync.Once
}

// NewTicker makes a ticker, which the collector stops if nobody does.
func (e *Engine) NewTicker(d time.Duration) (*Ticker, error) {
	if d <= 0 {
		return nil, &Error{Op: "ticker", Status: ErrInvalid}
	}
	t := &ticker{e: e, ticks: make(chan time.Time, 1), ended: make(chan struct{})}
	t.op.owner = t
	r := SleepFor(d)
	r.raw.Flags = raw.Multishot
	r.raw.Timer().IntervalNs = uint64(d)
	outer := &Ticker{t.ticks, t}
	runtime.SetFinalizer(outer, func(t *Ticker) { t.e.cancel(&t.op) })
	e.submit(&t.op, &request{raw: r.raw})
	return outer, nil
}

func (t *ticker) completed(_ *op, c *raw.Completion) {
	if c.Flags&raw.More == 0 {
		close(t.ended)
		return
	}
	select {
	case t.ticks <- time.Now():
	default:
	}
}

// Stop ends the ticker, and returns when it has ended. C is not closed.
func (t *Ticker) Stop() {
	runtime.SetFinalizer(t, nil)
	t.once.Do(func() { t.e.cancel(&t.op) })
	<-t.ended
}

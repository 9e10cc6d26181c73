package ferry

import (
	"context"
	"sync"

	"ferry/raw"
)

// call is an operation that a goroutine waits for.
type call struct {
	op
	done   chan struct{}
	result raw.Completion
}

var calls = sync.Pool{New: func() any {
	c := &call{}
	c.init()
	return c
}}

func (c *call) init() {
	c.owner = c
	c.done = make(chan struct{}, 1)
}

func (c *call) completed(_ *op, record *raw.Completion) {
	c.result = *record
	c.done <- struct{}{}
}

// wait waits for the final completion. When the context ends before it asks the operation to end,
// and waits on: what it works on is its until then.
func (c *call) wait(ctx context.Context, e *Engine) {
	if ctx == nil || ctx.Done() == nil {
		<-c.done
		return
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		e.cancel(&c.op)
		<-c.done
	}
}

// do submits a request and waits for it. What the completion lends is the caller's.
func (e *Engine) do(ctx context.Context, r *request) raw.Completion {
	if ctx != nil && ctx.Err() != nil {
		return raw.Completion{Opcode: r.raw.Opcode, Status: int32(ErrCanceled)}
	}
	c := calls.Get().(*call)
	e.submit(&c.op, r)
	c.wait(ctx, e)
	result := c.result
	calls.Put(c)
	return result
}

// failure makes the error of a completion, nil if it is none. A context that ended says itself why.
func failure(ctx context.Context, what, name string, c *raw.Completion) error {
	if c.Status == 0 {
		return nil
	}
	status := Status(c.Status)
	if status == ErrCanceled && ctx != nil && ctx.Err() == context.DeadlineExceeded {
		status = ErrTimedOut
	}
	err := &Error{Op: what, Name: name, Status: status}
	if c.Opcode == raw.OpNameResolve || c.Opcode == raw.OpTcpConnectName && c.OsError < 0 {
		err.Lookup = int(c.OsError)
	} else {
		err.Errno = errnoOf(c.OsError)
	}
	return err
}

// copyLent copies what a completion lends, and gives it back.
func (e *Engine) copyLent(c *raw.Completion) ([]byte, error) {
	if c.Flags&raw.Buffer == 0 {
		return nil, nil
	}
	if !e.enter() {
		return nil, &Error{Op: "receive", Status: ErrShutdown}
	}
	bytes := append([]byte(nil), lentBytes(c.Data, c.Result)...)
	e.leave()
	e.release(c.Buffer)
	return bytes, nil
}

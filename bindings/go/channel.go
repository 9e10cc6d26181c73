package ferry

import (
	"context"
	"io"
	"runtime"
	"sync"

	"ferry/raw"
)

// Message is what goes through a Channel or a Mailbox: two numbers of the program's.
type Message struct {
	Result int64
	Data   uint64
}

// Channel is a bounded queue of messages inside the engine, for goroutines and whoever else uses the
// engine.
type Channel struct {
	e      *Engine
	handle uint64
	closer call
	mu     sync.Mutex
	closed bool
}

// NewChannel opens a channel; capacity 0: a Send ends when a receiver has taken the message.
func (e *Engine) NewChannel(capacity int) (*Channel, error) {
	if capacity < 0 {
		return nil, &Error{Op: "channel", Status: ErrInvalid}
	}
	r := plain(raw.OpChannelOpen, 0)
	r.raw.Channel().Capacity = uint64(capacity)
	done := e.do(nil, &request{raw: r.raw})
	if err := failure(nil, "channel", "", &done); err != nil {
		return nil, err
	}
	c := &Channel{e: e, handle: done.Handle}
	c.closer.init()
	runtime.SetFinalizer(c, func(c *Channel) { c.e.discard(c.handle) })
	return c, nil
}

// Handle names the channel in requests.
func (c *Channel) Handle() Handle { return Handle(c.handle) }

// Send waits until the channel has taken the message.
func (c *Channel) Send(ctx context.Context, m Message) error {
	defer runtime.KeepAlive(c)
	r := plain(raw.OpChannelSend, c.Handle())
	r.raw.Message().Result, r.raw.Message().Data = m.Result, m.Data
	done := c.e.do(ctx, &request{raw: r.raw})
	return failure(ctx, "send", "", &done)
}

// Receive waits for a message; io.EOF when the channel is finished and empty.
func (c *Channel) Receive(ctx context.Context) (Message, error) {
	defer runtime.KeepAlive(c)
	done := c.e.do(ctx, &request{raw: plain(raw.OpChannelReceive, c.Handle()).raw})
	if Status(done.Status) == ErrEnd {
		return Message{}, io.EOF
	}
	return Message{done.Result, done.Data}, failure(ctx, "receive", "", &done)
}

// Finish says that no more messages will come.
func (c *Channel) Finish() error {
	defer runtime.KeepAlive(c)
	done := c.e.do(nil, &request{raw: plain(raw.OpChannelFinish, c.Handle()).raw})
	return failure(nil, "finish", "", &done)
}

// Close drops the messages in the channel, and ends who waits. Closing again is fine.
func (c *Channel) Close() error {
	runtime.SetFinalizer(c, nil)
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	return c.e.closeHandle(&c.closer, c.handle)
}

// Mailbox takes messages that are posted through the engine's queue, by any goroutine. A post never
// waits: when the mailbox or the ring is full it fails with ErrFull.
type Mailbox struct {
	e     *Engine
	op    op
	slots chan struct{} // One for each message on its way or not received yet.
	in    chan Message
	mu    sync.RWMutex
	shut  bool
}

// NewMailbox makes a mailbox for so many messages at once.
func (e *Engine) NewMailbox(capacity int) (*Mailbox, error) {
	if capacity <= 0 {
		return nil, &Error{Op: "mailbox", Status: ErrInvalid}
	}
	m := &Mailbox{e: e, slots: make(chan struct{}, capacity), in: make(chan Message, capacity)}
	m.op.owner = m
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse {
		return nil, &Error{Op: "mailbox", Status: ErrShutdown}
	}
	m.op.tag = e.take(&m.op)
	return m, nil
}

func (m *Mailbox) completed(_ *op, c *raw.Completion) {
	m.in <- Message{c.Result, c.Data} // There is room: its slot was taken.
}

// Post puts a message into the mailbox.
func (m *Mailbox) Post(message Message) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.shut {
		return &Error{Op: "post", Status: ErrStale}
	}
	select {
	case m.slots <- struct{}{}:
	default:
		return &Error{Op: "post", Status: ErrFull}
	}
	status := ErrShutdown
	if m.e.enter() {
		if !m.e.closing.Load() {
			status = m.e.native.post(uint64(m.op.tag), message.Result, message.Data)
		}
		m.e.leave()
	}
	if status != 0 {
		<-m.slots
		return &Error{Op: "post", Status: status}
	}
	return nil
}

// Receive waits for a message. After the engine's end it has those that had come.
func (m *Mailbox) Receive(ctx context.Context) (Message, error) {
	select {
	case message := <-m.in:
		<-m.slots
		return message, nil
	default:
	}
	select {
	case message := <-m.in:
		<-m.slots
		return message, nil
	case <-ctx.Done():
		return Message{}, contextError(ctx, "receive")
	case <-m.e.reaped:
		return Message{}, &Error{Op: "receive", Status: ErrShutdown}
	}
}

// Close gives the mailbox's place back. Messages that were not received are dropped.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shut {
		return nil
	}
	m.shut = true
	// What is on its way still carries its tag: all slots can be had when nothing is.
	for got := 0; got < cap(m.slots); {
		select {
		case m.slots <- struct{}{}:
			got++
		case <-m.in:
			<-m.slots
		case <-m.e.reaped:
			return nil
		}
	}
	m.e.mu.Lock()
	m.e.give(&m.op)
	m.e.mu.Unlock()
	return nil
}

package ferry

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"ferry/raw"
)

const (
	copiedMax = 4 << 10   // A write up to this size is copied at submit.
	queuedMax = 256 << 10 // A connection holds about so many bytes that nobody has read.
)

// Conn is a TCP connection. It is a net.Conn: any number of goroutines may use it at once, deadlines
// may be set at any time, and Close ends what is pending.
//
// One multishot receive brings what arrives in buffers that the engine lends. When nobody reads it
// pauses, and the peer feels it.
type Conn struct {
	*stream
	engine *Engine
}

var _ net.Conn = (*Conn)(nil)

// stream is what the engine's table may hold on to, so that a forgotten Conn can be collected.
type stream struct {
	e       *Engine
	handle  uint64
	reading sync.Mutex
	writing sync.Mutex

	receive op
	send    call
	closer  call

	readLimit  limit
	writeLimit limit
	readable   chan struct{}

	mu        sync.Mutex // Guards all below.
	unread    []byte     // What ReadUntil took and gave back.
	pieces    []piece
	queued    int64
	receiving bool
	pausing   bool
	ended     error // The receive's end, told when the pieces are read.
	closed    bool
	local     net.Addr
	remote    net.Addr
}

// piece is a lent buffer, or what is left of it.
type piece struct {
	at     uint64
	size   int64
	buffer uint64
}

func newConn(e *Engine, handle uint64) *Conn {
	s := &stream{e: e, handle: handle, readable: make(chan struct{}, 1)}
	s.receive.owner = s
	s.send.init()
	s.closer.init()
	s.readLimit.notify = func() { signal(s.readable) }
	s.writeLimit.notify = func() { e.cancel(&s.send.op) }
	c := &Conn{s, e}
	runtime.SetFinalizer(c, (*Conn).forgotten)
	return c
}

// Adopt makes a Conn of a stream that a Result brought.
func (e *Engine) Adopt(stream Handle) *Conn { return newConn(e, uint64(stream)) }

func (c *Conn) forgotten() {
	s := c.stream
	s.mu.Lock()
	s.closed = true
	pieces := s.takePieces()
	s.mu.Unlock()
	s.e.discard(s.handle)
	s.e.releaseAll(pieces)
}

func (e *Engine) releaseAll(pieces []piece) {
	for _, p := range pieces {
		e.release(p.buffer)
	}
}

func (s *stream) takePieces() []piece {
	pieces := s.pieces
	s.pieces, s.queued = nil, 0
	return pieces
}

// Handle names the connection in requests. While a Read is or was under way its bytes come to Read.
func (c *Conn) Handle() Handle { return Handle(c.handle) }

// completed is told of what the receive brings.
func (s *stream) completed(_ *op, c *raw.Completion) {
	drop, pause := false, false
	s.mu.Lock()
	if c.Flags&raw.Buffer != 0 {
		if s.closed {
			drop = true
		} else {
			s.pieces = append(s.pieces, piece{c.Data, c.Result, c.Buffer})
			s.queued += c.Result
		}
	}
	if c.Flags&raw.More == 0 {
		s.receiving = false
		switch {
		case c.Status == 0:
			s.ended = io.EOF
		case Status(c.Status) == ErrCanceled && s.pausing: // Nothing is lost; it will go on.
		default:
			s.ended = &Error{Op: "read", Status: Status(c.Status), Errno: errnoOf(c.OsError)}
		}
		s.pausing = false
	} else if s.queued > queuedMax && !s.pausing {
		s.pausing, pause = true, true
	}
	s.mu.Unlock()
	signal(s.readable)
	if drop {
		s.e.release(c.Buffer)
	}
	if pause {
		s.e.cancel(&s.receive)
	}
}

// Read reads what has arrived, at least a byte.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	runtime.KeepAlive(c)
	return n, err
}

func (s *stream) read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.readLocked(p)
}

func (s *stream) readLocked(p []byte) (int, error) {
	ifClosed := ErrStale
	for {
		start := false
		s.mu.Lock()
		err := s.usable("read", &s.readLimit, ifClosed)
		switch {
		case err != nil || len(p) == 0:
			s.mu.Unlock()
			return 0, err
		case len(s.unread) > 0:
			n := copy(p, s.unread)
			s.unread = s.unread[n:]
			s.mu.Unlock()
			return n, nil
		case len(s.pieces) > 0:
			n, used, err := s.copyPieces(p)
			s.mu.Unlock()
			for _, buffer := range used {
				if buffer != 0 {
					s.e.release(buffer)
				}
			}
			return n, err
		case s.ended != nil:
			err := s.ended
			s.mu.Unlock()
			return 0, err
		case !s.receiving:
			s.receiving, start = true, true
		}
		s.mu.Unlock()
		if start {
			r := request{raw: raw.Request{Opcode: raw.OpStreamReceive, Target: s.handle,
				Flags: raw.Multishot | raw.Lend}}
			s.e.submit(&s.receive, &r)
		}
		<-s.readable
		ifClosed = ErrClosed
	}
}

// copyPieces copies from the first few pieces and says which are used up.
func (s *stream) copyPieces(p []byte) (n int, used [8]uint64, err error) {
	if !s.e.enter() {
		s.takePieces() // Their memory has gone with the engine.
		return 0, used, &Error{Op: "read", Status: ErrShutdown}
	}
	defer s.e.leave()
	done := 0
	for done < len(used) && done < len(s.pieces) && n < len(p) {
		first := &s.pieces[done]
		taken := copy(p[n:], lentBytes(first.at, first.size))
		n += taken
		s.queued -= int64(taken)
		first.at += uint64(taken)
		first.size -= int64(taken)
		if first.size > 0 {
			break
		}
		used[done] = first.buffer
		done++
	}
	rest := copy(s.pieces, s.pieces[done:])
	s.pieces = s.pieces[:rest]
	return n, used, nil
}

// usable is called with mu held.
func (s *stream) usable(what string, l *limit, ifClosed Status) error {
	if s.closed {
		return &Error{Op: what, Status: ifClosed}
	}
	if l.passed() {
		return &Error{Op: what, Status: ErrTimedOut}
	}
	return nil
}

// ReadUntil reads up to and with a delimiter. When max bytes have come without one, or the stream
// ends or the deadline passes before it, it fails, and the bytes are left to be read.
func (c *Conn) ReadUntil(delimiter []byte, max int) ([]byte, error) {
	defer runtime.KeepAlive(c)
	if len(delimiter) == 0 || max <= 0 {
		return nil, &Error{Op: "read", Status: ErrInvalid}
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	var got []byte
	buffer := make([]byte, 4096)
	for looked := 0; ; {
		from := looked - len(delimiter) + 1
		if from < 0 {
			from = 0
		}
		if at := bytes.Index(got[from:], delimiter); at >= 0 && from+at+len(delimiter) <= max {
			end := from + at + len(delimiter)
			c.giveBack(got[end:])
			return got[:end:end], nil
		}
		looked = len(got)
		if len(got) >= max {
			c.giveBack(got)
			return nil, &Error{Op: "read", Status: ErrLimit}
		}
		n, err := c.readLocked(buffer)
		got = append(got, buffer[:n]...)
		if err != nil {
			c.giveBack(got)
			if err == io.EOF && len(got) > 0 {
				err = &Error{Op: "read", Status: ErrEnd}
			}
			return nil, err
		}
	}
}

func (s *stream) giveBack(bytes []byte) {
	s.mu.Lock()
	if len(bytes) > 0 {
		s.unread = append(append([]byte(nil), bytes...), s.unread...)
	}
	s.mu.Unlock()
}

// Write writes all of p, or says how much of it the system has taken.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	runtime.KeepAlive(c)
	return n, err
}

func (s *stream) write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for {
		s.mu.Lock()
		err := s.usable("write", &s.writeLimit, ErrStale)
		s.mu.Unlock()
		if err != nil || n == len(p) {
			return n, err
		}
		part := p[n:]
		if len(part) > copiedMax {
			if len(part) > blockBytesMax {
				part = part[:blockBytesMax]
			}
			b := s.e.blocks.take(len(part))
			copy(b.bytes(), part)
			r := s.sendRequest(b.at(), len(part), 0)
			taken, err := s.sendAndWait(&r)
			s.e.blocks.give(b)
			n += taken
			if err != nil {
				return n, err
			}
			continue
		}
		r := s.sendRequest(0, len(part), raw.Copy)
		r.bytes = len(part) + 8
		r.encode = func(b *batch, place *raw.Request) {
			staged := b.room(len(part))
			copy(staged, part)
			place.Words[0] = number(pointerTo(staged))
		}
		taken, err := s.sendAndWait(&r)
		n += taken
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// WriteBuffers writes several pieces as if they were one.
func (c *Conn) WriteBuffers(pieces net.Buffers) (n int64, err error) {
	defer runtime.KeepAlive(c)
	total := 0
	for _, piece := range pieces {
		total += len(piece)
	}
	// Each has to be copied into C memory, so they may as well lie there as one.
	gathered := make([]byte, 0, total)
	for _, piece := range pieces {
		gathered = append(gathered, piece...)
	}
	written, err := c.write(gathered)
	return int64(written), err
}

func (s *stream) sendRequest(at uint64, size int, flags uint32) request {
	r := request{raw: raw.Request{Opcode: raw.OpStreamSend, Target: s.handle, Flags: flags}}
	r.raw.Words[0], r.raw.Words[1] = at, uint64(size)
	return r
}

func (s *stream) sendAndWait(r *request) (int, error) {
	s.e.submit(&s.send.op, r)
	if s.writeLimit.passed() { // It may have passed when there was nothing to cancel yet.
		s.e.cancel(&s.send.op)
	}
	<-s.send.done
	c := &s.send.result
	if Status(c.Status) == ErrCanceled && s.writeLimit.passed() {
		return int(c.Result), &Error{Op: "write", Status: ErrTimedOut}
	}
	return int(c.Result), failure(nil, "write", "", c)
}

// CloseWrite sends what is under way, then lets the peer see the end.
func (c *Conn) CloseWrite() error {
	defer runtime.KeepAlive(c)
	return c.simple("close write", plain(raw.OpStreamShutdown, c.Handle()))
}

func (s *stream) simple(what string, r Request) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return &Error{Op: what, Status: ErrStale}
	}
	done := s.e.do(nil, &request{raw: r.raw})
	return failure(nil, what, "", &done)
}

// Close ends what is pending and closes the connection. Closing again is fine.
func (c *Conn) Close() error {
	runtime.SetFinalizer(c, nil)
	s := c.stream
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.unread = nil
	pieces := s.takePieces()
	s.mu.Unlock()
	signal(s.readable)
	s.e.releaseAll(pieces)
	s.readLimit.set(time.Time{})
	s.writeLimit.set(time.Time{})
	return s.e.closeHandle(&s.closer, s.handle)
}

// closeHandle closes a handle and waits for it; without a slot to wait in it is closed all the same.
func (e *Engine) closeHandle(c *call, handle uint64) error {
	e.submit(&c.op, &request{raw: raw.Request{Opcode: raw.OpHandleClose, Target: handle}})
	<-c.done
	switch Status(c.result.Status) {
	case ErrFull:
		e.discard(handle)
		return nil
	case ErrShutdown, ErrStale:
		return nil
	}
	return failure(nil, "close", "", &c.result)
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds reads, also those under way; no byte is lost with one that times out.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setLimit(&c.readLimit, t)
}

// SetWriteDeadline bounds writes, also those under way.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setLimit(&c.writeLimit, t)
}

func (s *stream) setLimit(l *limit, t time.Time) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return &Error{Op: "set deadline", Status: ErrStale}
	}
	l.set(t)
	return nil
}

// LocalAddr is the connection's own address.
func (c *Conn) LocalAddr() net.Addr {
	defer runtime.KeepAlive(c)
	return c.address(&c.local, 0)
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr {
	defer runtime.KeepAlive(c)
	return c.address(&c.remote, 1)
}

// address asks once. What was not asked before the connection was closed is not known any more.
func (s *stream) address(known *net.Addr, peer uint64) net.Addr {
	s.mu.Lock()
	address, closed := *known, s.closed
	s.mu.Unlock()
	if address != nil {
		return address
	}
	var found net.Addr = &net.TCPAddr{}
	if closed {
		return found
	}
	if asked, err := s.e.socketAddress(s.handle, peer); err == nil {
		found = asked
		s.mu.Lock()
		*known = found
		s.mu.Unlock()
	}
	return found
}

// SetNoDelay says whether small writes leave at once, as they do at first.
func (c *Conn) SetNoDelay(noDelay bool) error {
	value := int64(0)
	if noDelay {
		value = 1
	}
	return c.SetOption(raw.SocketNoDelay, value)
}

// SetKeepAlivePeriod probes a peer from which nothing came for so long; 0: never.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.SetOption(raw.SocketKeepAlive, int64((d+time.Second-1)/time.Second))
}

// SetReadBuffer sets how much the system may hold of what was received.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.SetOption(raw.SocketReceiveBuffer, int64(bytes))
}

// SetWriteBuffer sets how much the system may hold of what was sent.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.SetOption(raw.SocketSendBuffer, int64(bytes))
}

// SetLinger says for how long unsent bytes may linger after Close; 0 drops them, -1 is the default.
func (c *Conn) SetLinger(seconds int) error {
	return c.SetOption(raw.SocketLinger, int64(seconds))
}

// SetOption sets one of the options in ferry/socket.h.
func (c *Conn) SetOption(option uint32, value int64) error {
	defer runtime.KeepAlive(c)
	r := plain(raw.OpSocketSet, c.Handle())
	r.raw.SocketSet().Option, r.raw.SocketSet().Value = option, value
	return c.simple("set option", r)
}

// Receive waits for the context, too, where Read only knows deadlines.
func (c *Conn) Receive(ctx context.Context, p []byte) (int, error) {
	defer runtime.KeepAlive(c)
	if ctx.Done() == nil {
		return c.read(p)
	}
	if ctx.Err() != nil {
		return 0, contextError(ctx, "read")
	}
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
			c.readLimit.set(time.Unix(1, 0))
		case <-stop:
		}
	}()
	n, err := c.read(p)
	close(stop)
	<-stopped
	if ctx.Err() != nil {
		c.readLimit.set(time.Time{})
		if err != nil {
			err = contextError(ctx, "read")
		}
	}
	return n, err
}

func contextError(ctx context.Context, what string) error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Op: what, Status: ErrTimedOut}
	}
	return &Error{Op: what, Status: ErrCanceled}
}

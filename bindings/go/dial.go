package ferry

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"ferry/raw"
)

// Dial connects to "host:port". network is "tcp", "tcp4" or "tcp6".
func (e *Engine) Dial(network, address string) (net.Conn, error) {
	return e.DialContext(context.Background(), network, address)
}

// DialContext is Dial with a context; it fits http.Transport. A name's addresses are tried in the
// system's order, the next one beside the first when that does not answer (RFC 8305).
func (e *Engine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	described, err := connectRequest(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if described.wrong != 0 || len(described.text) > raw.PathMax {
		return nil, &Error{Op: "dial", Name: address, Status: ErrInvalid}
	}
	r := request{raw: described.raw}
	if described.text != "" {
		if network != "tcp" {
			return e.dialFamily(ctx, network, address, described)
		}
		r.bytes, r.encode = len(described.text)+16, encodeText(described.text)
	}
	done := e.do(ctx, &r)
	if err := failure(ctx, "dial", address, &done); err != nil {
		return nil, err
	}
	return newConn(e, done.Handle), nil
}

// dialFamily connects to a name's addresses of one family, one after the other.
func (e *Engine) dialFamily(ctx context.Context, network, address string, d Request) (net.Conn, error) {
	found, err := e.Resolve(ctx, network, d.text, uint16(d.raw.ConnectName().Port))
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		var c net.Conn
		if c, err = e.DialContext(ctx, network, one.String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// Listener accepts connections. It is a net.Listener.
type Listener struct {
	*listener
	engine *Engine
}

var _ net.Listener = (*Listener)(nil)

type listener struct {
	e        *Engine
	handle   uint64
	local    net.Addr
	wake     chan struct{}
	limit    limit
	turn     sync.Mutex
	accept   op
	closer   call
	mu       sync.Mutex // Guards all below.
	waiting  []uint64   // Streams that nobody has accepted yet.
	running  bool
	pausing  bool
	trouble  error // Told once: the accept goes on.
	ended    error
	shutDown bool
}

const waitingMax = 64

// Listen listens on "host:port"; port 0 lets the system choose, no host means all interfaces.
func (e *Engine) Listen(network, address string) (net.Listener, error) {
	l, err := e.ListenTCP(network, address, false)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenTCP is Listen; with reusePort several listeners may share an address.
func (e *Engine) ListenTCP(network, address string, reusePort bool) (*Listener, error) {
	local, err := e.listenAddress(network, address)
	if err != nil {
		return nil, err
	}
	r := request{raw: raw.Request{Opcode: raw.OpTcpListen}}
	if reusePort {
		r.raw.Flags = raw.ReusePort
	}
	r.raw.Listen().Address = rawAddress(local)
	done := e.do(nil, &r)
	if err := failure(nil, "listen", address, &done); err != nil {
		return nil, err
	}
	l := &listener{e: e, handle: done.Handle, wake: make(chan struct{}, 1)}
	l.local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local.Addr(), uint16(done.Result)))
	l.accept.owner = l
	l.closer.init()
	l.limit.notify = func() { signal(l.wake) }
	outer := &Listener{l, e}
	runtime.SetFinalizer(outer, func(l *Listener) { l.e.discard(l.handle) })
	return outer, nil
}

func (e *Engine) listenAddress(network, address string) (netip.AddrPort, error) {
	host, port, err := splitAddress(network, address)
	if err != nil {
		return netip.AddrPort{}, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	if host == "" {
		host = "0.0.0.0"
		if network == "tcp6" {
			host = "::"
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip, port), nil
	}
	found, err := e.Resolve(context.Background(), network, host, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return found[0], nil
}

func (l *listener) completed(_ *op, c *raw.Completion) {
	var discard uint64
	pause := false
	l.mu.Lock()
	switch {
	case c.Flags&raw.More != 0 && c.Status == 0:
		if l.shutDown {
			discard = c.Handle
			break
		}
		l.waiting = append(l.waiting, c.Handle)
		if len(l.waiting) >= waitingMax && !l.pausing {
			l.pausing, pause = true, true
		}
	case c.Flags&raw.More != 0:
		l.trouble = failure(nil, "accept", "", c)
	default:
		l.running = false
		if !l.pausing || Status(c.Status) != ErrCanceled {
			l.ended = failure(nil, "accept", "", c)
		}
		l.pausing = false
	}
	l.mu.Unlock()
	signal(l.wake)
	if discard != 0 {
		l.e.discard(discard)
	}
	if pause {
		l.e.cancel(&l.accept)
	}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	handle, err := l.next()
	runtime.KeepAlive(l)
	if err != nil {
		return nil, err
	}
	return newConn(l.engine, handle), nil
}

func (l *listener) next() (uint64, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	ifClosed := ErrStale
	for {
		start := false
		l.mu.Lock()
		switch {
		case l.shutDown:
			l.mu.Unlock()
			return 0, &Error{Op: "accept", Status: ifClosed}
		case l.limit.passed():
			l.mu.Unlock()
			return 0, &Error{Op: "accept", Status: ErrTimedOut}
		case len(l.waiting) > 0:
			handle := l.waiting[0]
			l.waiting = l.waiting[:copy(l.waiting, l.waiting[1:])]
			l.mu.Unlock()
			return handle, nil
		case l.trouble != nil:
			err := l.trouble
			l.trouble = nil
			l.mu.Unlock()
			return 0, err
		case l.ended != nil:
			err := l.ended
			l.mu.Unlock()
			return 0, err
		case !l.running:
			l.running, start = true, true
		}
		l.mu.Unlock()
		if start {
			l.e.submit(&l.accept, &request{raw: raw.Request{Opcode: raw.OpTcpAccept,
				Target: l.handle, Flags: raw.Multishot}})
		}
		<-l.wake
		ifClosed = ErrClosed
	}
}

// SetDeadline bounds Accept.
func (l *Listener) SetDeadline(t time.Time) error {
	l.limit.set(t)
	return nil
}

// Addr is the listener's address.
func (l *Listener) Addr() net.Addr { return l.local }

// Handle names the listener in requests.
func (l *Listener) Handle() Handle { return Handle(l.handle) }

// Close ends a pending Accept and closes what nobody has accepted. Closing again is fine.
func (l *Listener) Close() error {
	runtime.SetFinalizer(l, nil)
	l.mu.Lock()
	if l.shutDown {
		l.mu.Unlock()
		return nil
	}
	l.shutDown = true
	waiting := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	signal(l.wake)
	l.limit.set(time.Time{})
	for _, stream := range waiting {
		l.e.discard(stream)
	}
	return l.e.closeHandle(&l.closer, l.handle)
}

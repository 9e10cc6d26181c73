package ferry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pair gives both ends of a connection.
func pair(t *testing.T, e *Engine) (a, b net.Conn) {
	t.Helper()
	l, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = e.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
		settled(t, e)
	})
	return a, b
}

// within fails when the function does not end.
func within(t *testing.T, what string, run func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal(what, "did not end")
	}
}

func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	var n net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("%s: %v", what, err)
	}
}

// The checks below are those that net.Conn's contract suggests: data, deadlines, closing, at once.

func TestConnBothWays(t *testing.T) {
	a, b := pair(t, newEngine(t))
	want := make([]byte, 8<<20)
	rand.Read(want)
	var all sync.WaitGroup
	send := func(c net.Conn) {
		defer all.Done()
		if _, err := io.Copy(c, bytes.NewReader(want)); err != nil {
			t.Error(err)
		}
		c.(*Conn).CloseWrite()
	}
	receive := func(c net.Conn) {
		defer all.Done()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	all.Add(4)
	go send(a)
	go send(b)
	go receive(a)
	go receive(b)
	within(t, "both ways", all.Wait)
}

func TestConnPastDeadline(t *testing.T) {
	a, b := pair(t, newEngine(t))
	if _, err := b.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	for round := 0; round < 3; round++ {
		a.SetDeadline(time.Unix(1, 0))
		for i := 0; i < 3; i++ {
			n, err := a.Write(make([]byte, 100))
			if n != 0 {
				t.Error("written")
			}
			wantTimeout(t, "write", err)
			n, err = a.Read(make([]byte, 100))
			if n != 0 {
				t.Error("read")
			}
			wantTimeout(t, "read", err)
		}
		a.SetDeadline(time.Time{})
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(a, got); err != nil || string(got) != "there" {
		t.Error(string(got), err)
	}
}

// Deadlines that are set while a read and a write wait.
func TestConnPresentDeadline(t *testing.T) {
	a, b := pair(t, newEngine(t))
	var all sync.WaitGroup
	all.Add(2)
	go func() {
		defer all.Done()
		_, err := a.Read(make([]byte, 1))
		wantTimeout(t, "read", err)
	}()
	total := int64(0)
	go func() {
		defer all.Done()
		for {
			n, err := a.Write(make([]byte, 1<<20))
			total += int64(n)
			if err != nil {
				wantTimeout(t, "write", err)
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	a.SetDeadline(time.Unix(1, 0))
	within(t, "a read or write that waits", all.Wait)
	// What was said to be written is what arrives.
	a.SetDeadline(time.Time{})
	a.(*Conn).CloseWrite()
	if n, err := io.Copy(io.Discard, b); err != nil || n != total {
		t.Errorf("%d bytes of %d, %v", n, total, err)
	}
}

func TestConnFutureDeadline(t *testing.T) {
	a, _ := pair(t, newEngine(t))
	begin := time.Now()
	a.SetReadDeadline(begin.Add(time.Hour))
	a.SetReadDeadline(begin.Add(30 * time.Millisecond))
	_, err := a.Read(make([]byte, 1))
	wantTimeout(t, "read", err)
	if time.Since(begin) < 30*time.Millisecond {
		t.Error("early")
	}
	a.SetReadDeadline(time.Now().Add(time.Millisecond))
	a.SetReadDeadline(time.Now().Add(time.Hour)) // The earlier one no longer counts.
	time.AfterFunc(20*time.Millisecond, func() { a.Close() })
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if a.SetDeadline(time.Time{}) == nil {
		t.Error("a deadline of a closed connection")
	}
}

func TestConnCloseUnblocks(t *testing.T) {
	a, b := pair(t, newEngine(t))
	var all sync.WaitGroup
	all.Add(4)
	for i := 0; i < 2; i++ {
		go func() {
			defer all.Done()
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}()
		go func() {
			defer all.Done()
			for {
				if _, err := a.Write(make([]byte, 1<<20)); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	within(t, "close", func() { a.Close() })
	within(t, "what waited", all.Wait)
	_ = b
}

func TestConnManyMethodsAtOnce(t *testing.T) {
	a, b := pair(t, newEngine(t))
	go io.Copy(b, b)
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			a.LocalAddr()
			a.RemoteAddr()
			a.SetDeadline(time.Now().Add(time.Millisecond))
			a.SetReadDeadline(time.Now().Add(time.Millisecond))
			a.SetWriteDeadline(time.Now().Add(time.Millisecond))
			a.Read(make([]byte, 100))
			a.Write(make([]byte, 100))
		}()
	}
	within(t, "all of them", all.Wait)
	if a.LocalAddr().String() != b.RemoteAddr().String() || a.LocalAddr().Network() != "tcp" {
		t.Error(a.LocalAddr(), b.RemoteAddr())
	}
}

func TestConnEmptyReadAndWrite(t *testing.T) {
	a, b := pair(t, newEngine(t))
	for i := 0; i < 2; i++ {
		if n, err := a.Read(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := a.Write(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
	}
	b.Close()
	if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

// Nobody reads: what the engine has lent stays bounded, and nothing is lost.
func TestConnBackpressure(t *testing.T) {
	e := newEngine(t)
	a, b := pair(t, e)
	const size = 16 << 20
	go func() {
		a.Write(make([]byte, size))
		a.(*Conn).CloseWrite()
	}()
	one := make([]byte, 1)
	if _, err := io.ReadFull(b, one); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if info, _ := e.Info(); info.BuffersLent > 1000 {
		t.Error("everything was taken in", info)
	}
	if n, err := io.Copy(io.Discard, b); err != nil || n != size-1 {
		t.Error(n, err)
	}
}

func TestListenerDeadlineAndClose(t *testing.T) {
	e := newEngine(t)
	l, err := e.ListenTCP("tcp", "localhost:0", false)
	if err != nil {
		t.Fatal(err)
	}
	l.SetDeadline(time.Now().Add(10 * time.Millisecond))
	_, err = l.Accept()
	wantTimeout(t, "accept", err)
	l.SetDeadline(time.Time{})
	time.AfterFunc(10*time.Millisecond, func() { l.Close() })
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := e.Listen("tcp", "127.0.0.1:99999"); err == nil {
		t.Error("a port that cannot be")
	}
	if _, err := e.Listen("udp", "127.0.0.1:0"); err == nil {
		t.Error("a network that is not there")
	}
	settled(t, e)
}

// More connections than wait at once, and nobody accepts for a while.
func TestListenerPauses(t *testing.T) {
	e := newEngine(t)
	l, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for i := 0; i < 3*waitingMax; i++ {
		c, err := e.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		if i == 0 {
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, s)
		}
	}
	for i := 1; i < 3*waitingMax; i++ {
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, s)
	}
	l.Close()
	for _, c := range conns {
		c.Close()
	}
	settled(t, e)
}

// Go's own HTTP server and client, over Ferry on both sides.
func TestHTTP(t *testing.T) {
	e := newEngine(t)
	l, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served int64
	server := &http.Server{ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			atomic.AddInt64(&served, 1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Write([]byte(strings.ToUpper(string(body))))
		})}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	transport := &http.Transport{DialContext: e.DialContext, MaxIdleConnsPerHost: 20}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	var all sync.WaitGroup
	for i := 0; i < 20; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			text := strings.Repeat("ferry", 1+i*1000)
			for n := 0; n < 10; n++ {
				response, err := client.Post("http://"+l.Addr().String()+"/", "text/plain", strings.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || string(body) != strings.ToUpper(text) {
					t.Error(len(body), err)
					return
				}
			}
		}(i)
	}
	within(t, "the requests", all.Wait)
	// A request whose context ends.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String()+"/", nil)
	if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
	if served < 200 {
		t.Error("served", served)
	}
	settled(t, e)
}

func TestErrors(t *testing.T) {
	for status, targets := range sentinels {
		err := error(&Error{Op: "test", Status: status})
		if !errors.Is(err, status) {
			t.Error(status.Name())
		}
		for _, target := range targets {
			if !errors.Is(err, target) {
				t.Error(status.Name(), target)
			}
		}
		if errors.Is(err, syscall.ENOTTY) || errors.Is(err, ErrInternal) {
			t.Error(status.Name(), "is anything")
		}
	}
	if !errors.Is(&Error{Status: ErrOs, Errno: syscall.EXDEV}, syscall.EXDEV) {
		t.Error("errno")
	}
	var dns *net.DNSError
	if !errors.As(&Error{Status: ErrNameNotFound, Name: "x"}, &dns) || !dns.IsNotFound {
		t.Error("no DNSError")
	}
	if Status(-12345).Error() == "" || Status(-12345).Name() != "FERRY_E_?" {
		t.Error("an unknown status")
	}
}

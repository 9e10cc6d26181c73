package ferry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ferry/raw"
)

func wantStatus(t *testing.T, err error, any ...Status) {
	t.Helper()
	for _, one := range any {
		if errors.Is(err, one) {
			return
		}
	}
	t.Errorf("%v, expected one of %v", err, any)
}

func TestRequestsThatCannotBe(t *testing.T) {
	e := newEngine(t)
	ctx := context.Background()
	deep := SleepFor(0)
	for i := 0; i < 12; i++ {
		deep = All(deep)
	}
	many := make([]Request, 65)
	for i := range many {
		many[i] = SleepFor(0)
	}
	for name, r := range map[string]Request{
		"nothing":              {},
		"no children":          Chain(),
		"too deep":             deep,
		"too many":             All(many...),
		"no earlier child":     Chain(CloseHandle(Opened(0))),
		"a child of no chain":  CloseHandle(Opened(0)),
		"an impossible child":  CloseHandle(Opened(-1)),
		"handle 12345":         ReceiveFrom(12345),
		"an empty send":        SendTo(1<<60, nil),
		"negative room":        ReceiveInto(1, -1),
		"a long delimiter":     ReceiveUntil(1, strings.Repeat("x", 17), 100),
		"a NUL in a path":      LoadFrom("a\x00b", 0),
		"no path":              LoadFrom("", 0),
		"a long path":          LoadFrom(strings.Repeat("x", 5000), 0),
		"unknown flags":        OpenAt("x", 1<<30, 0),
		"exclusive, no create": OpenAt("x", os.O_EXCL, 0),
		"no port":              ConnectTo("127.0.0.1"),
		"a strange host":       ConnectTo("a\x00b:80"),
		"a long name":          ConnectTo(strings.Repeat("x", 300) + ":80"),
	} {
		result, err := e.Do(ctx, r)
		if err == nil || result.Err == nil {
			t.Error(name, "was done")
		}
	}
	if _, err := e.NewTicker(0); err == nil {
		t.Error("a ticker without a time")
	}
	for _, o := range []Options{{Shards: 65}, {Shards: 1, NoThread: true}, {Ops: -1}, {Ring: 1 << 29}, {BufferBytesMax: -1}} {
		if _, err := New(&o); err == nil {
			t.Error(o, "is an engine")
		}
	}
	if _, err := e.Dial("tcp", "no port"); err == nil {
		t.Error("dialled")
	}
	if err := e.Sleep(ctx, -time.Hour); err != nil {
		t.Error(err)
	}
	settled(t, e)
}

// A request refused among others, from many goroutines at once, does them no harm.
func TestRefusedAmongOthers(t *testing.T) {
	e := newEngine(t)
	var all sync.WaitGroup
	for i := 0; i < 500; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			if i%3 == 0 {
				_, err := e.Do(context.Background(), ReceiveFrom(Handle(i+1)))
				wantStatus(t, err, ErrBadHandle)
			} else if err := e.Sleep(context.Background(), time.Millisecond); err != nil {
				t.Error(err)
			}
		}(i)
	}
	within(t, "all", all.Wait)
	settled(t, e)
}

// Everything happens while the engine ends.
func TestCloseWhileBusy(t *testing.T) {
	for round := 0; round < 20; round++ {
		e, err := New(&Options{NoThread: noThread})
		if err != nil {
			t.Fatal(err)
		}
		l, err := e.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "x")
		os.WriteFile(name, make([]byte, 10000), 0600)
		box, _ := e.NewMailbox(10)
		var all sync.WaitGroup
		each := func(try func() error) {
			for i := 0; i < 4; i++ {
				all.Add(1)
				go func() {
					defer all.Done()
					for try() == nil {
					}
				}()
			}
		}
		ctx := context.Background()
		each(func() error { return e.Sleep(ctx, time.Microsecond) })
		each(func() error { _, err := e.LoadFile(ctx, name); return err })
		each(func() error { _, err := e.Do(ctx, All(SleepFor(0), LoadFrom(name, 0))); return err })
		each(func() error { _, err := e.Info(); return err })
		each(func() error {
			if err := box.Post(Message{}); err != nil && !errors.Is(err, ErrFull) {
				return err
			}
			return nil
		})
		each(func() error { _, err := box.Receive(ctx); return err })
		each(func() error {
			c, err := e.Dial("tcp", l.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			c.Read(make([]byte, 10))
			_, err = c.Write(make([]byte, 10000))
			return err
		})
		each(func() error {
			c, err := l.Accept()
			if err == nil {
				c.Write(make([]byte, 100))
				c.Close()
			}
			return err
		})
		time.Sleep(time.Duration(round) * time.Millisecond)
		within(t, "Close", func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		within(t, "what was busy", all.Wait)
		box.Close()
	}
}

// The collector runs while operations of forgotten things are pending.
func TestCollectedWhileBusy(t *testing.T) {
	e := newEngine(t)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	l, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 50; i++ {
		a, err := e.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go a.Write([]byte("x"))
		// b is used for the last time by this call, and must not go before it ends.
		if n, err := b.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := e.NewTicker(time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	for i := 0; i < 100; i++ {
		runtime.GC()
		if info, _ := e.Info(); info.HandlesOpen == 0 && info.OpsInFlight == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	all.Wait()
	settled(t, e)
}

func TestShutdownTimesOut(t *testing.T) {
	e, err := New(&Options{NoThread: noThread})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 3; i++ {
		wantStatus(t, e.Sleep(context.Background(), 0), ErrShutdown)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDriver(t *testing.T) {
	for _, options := range []Options{
		{Driver: DriverUV}, {RingWithout: raw.RingSend}, {NoThread: true},
	} {
		e, err := New(&options)
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		libuv := options.Driver == DriverUV || options.NoThread
		if err != nil || info.RingBits&raw.RingSend != 0 || libuv && info.Driver != "uv" ||
			(info.RingBits != 0) != (info.Driver == "uring") {
			t.Error(options, info, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, options := range []Options{
		{Driver: 99}, {RingWithout: 1 << 63}, {Driver: DriverURing, NoThread: true},
	} {
		if _, err := New(&options); !errors.Is(err, ErrUnsupported) {
			t.Error(options, err)
		}
	}
}

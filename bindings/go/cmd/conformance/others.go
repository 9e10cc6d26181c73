package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ferry"
)

func scratch(name string) string { return filepath.Join(os.Getenv("FERRY_SCRATCH"), name) }

func init() {
	add("sleep", func(e *ferry.Engine) {
		begin := time.Now()
		var order []int
		var mu sync.Mutex
		together(2, func(i int) {
			wait := time.Duration(40-20*i) * time.Millisecond
			check(e.Sleep(background, wait))
			if time.Since(begin) < wait {
				panic(failed("a sleep ended early"))
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		})
		expect("the first", order[0], 1)
	})
	add("interval", func(e *ferry.Engine) {
		begin := time.Now()
		t, err := e.NewTicker(5 * time.Millisecond)
		check(err)
		for i := 0; i < 5; i++ {
			<-t.C
		}
		t.Stop()
		if time.Since(begin) < 25*time.Millisecond {
			panic(failed("the ticker was early"))
		}
		select {
		case <-t.C:
		default:
		}
		time.Sleep(15 * time.Millisecond)
		select {
		case <-t.C:
			panic(failed("it ticks on"))
		default:
		}
	})
	add("all", func(e *ferry.Engine) {
		begin := time.Now()
		result, err := e.Do(background, ferry.All(ferry.SleepFor(30*time.Millisecond).Tagged(3),
			ferry.SleepFor(10*time.Millisecond).Tagged(1), ferry.SleepFor(20*time.Millisecond).Tagged(2)))
		check(err)
		expect("early", time.Since(begin) < 30*time.Millisecond, false)
		for i, tag := range []uint64{3, 1, 2} {
			check(result.Children[i].Err)
			expect("tag", result.Children[i].Tag, tag)
		}
	})
	add("race", func(e *ferry.Engine) {
		c := peer(e, "silent")
		defer c.Close()
		result, err := e.Do(background, ferry.Race(ferry.ReceiveFrom(c.Handle()),
			ferry.SleepFor(10*time.Millisecond)))
		check(err)
		expect("the timer won", result.Children[1].Won, true)
		fails(result.Children[0].Err, ferry.ErrCanceled, context.Canceled)
	})
	add("chain", func(e *ferry.Engine) {
		name := scratch("chain")
		check(os.WriteFile(name, []byte("handed on"), 0600))
		result, err := e.Do(background, ferry.Chain(ferry.OpenAt(name, os.O_RDONLY, 0),
			ferry.ReadAt(ferry.Opened(0), 100, 0), ferry.CloseHandle(ferry.Opened(0))))
		check(err)
		expect("read", string(result.Children[1].Data), "handed on")
	})
	add("chain-failed", func(e *ferry.Engine) {
		result, err := e.Do(background, ferry.Chain(ferry.OpenAt(scratch("nothing"), os.O_RDONLY, 0),
			ferry.ReadAt(ferry.Opened(0), 100, 0), ferry.CloseHandle(ferry.Opened(0))))
		fails(err, ferry.ErrNotFound, os.ErrNotExist)
		fails(result.Children[0].Err, ferry.ErrNotFound)
		fails(result.Children[1].Err, ferry.ErrCanceled)
		fails(result.Children[2].Err, ferry.ErrCanceled)
	})
	add("retry", func(e *ferry.Engine) {
		begin := time.Now()
		_, err := e.Do(background, ferry.Retry(3, 10*time.Millisecond, 0, ferry.ConnectTo(refusingAddress())))
		fails(err, ferry.ErrConnectionRefused, syscall.ECONNREFUSED)
		expect("before the delays had passed", time.Since(begin) < 30*time.Millisecond, false)
	})
	add("queue-full", queueFull)
	add("ring-small", func(*ferry.Engine) {
		e := newEngine(&ferry.Options{Ring: 8})
		defer e.Close()
		together(1000, func(int) { check(e.Sleep(background, 0)) })
		settled(e, ferry.Info{})
	})
	add("ten-thousand", func(e *ferry.Engine) {
		begin := time.Now()
		together(10000, func(int) { check(e.Sleep(background, 20*time.Millisecond)) })
		expect("early", time.Since(begin) < 20*time.Millisecond, false)
	})
	add("ten-thousand-cancelled", func(e *ferry.Engine) {
		ctx, cancel := context.WithCancel(background)
		go func() {
			for {
				if info, _ := e.Info(); info.OpsInFlight >= 10000 {
					cancel()
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		together(10000, func(int) { fails(e.Sleep(ctx, time.Hour), context.Canceled) })
	})
	add("post", func(e *ferry.Engine) {
		box, err := e.NewMailbox(100)
		check(err)
		go func() {
			for i := 0; i < 10000; {
				if err := box.Post(ferry.Message{Result: int64(i), Data: uint64(i) * 3}); err == nil {
					i++
				} else if !errors.Is(err, ferry.ErrFull) {
					return
				} else {
					runtime.Gosched()
				}
			}
		}()
		for i := 0; i < 10000; i++ {
			m, err := box.Receive(background)
			check(err)
			expect("message", m, ferry.Message{Result: int64(i), Data: uint64(i) * 3})
		}
		check(box.Close())
		fails(box.Post(ferry.Message{}), ferry.ErrStale)
	})
	add("channel", func(e *ferry.Engine) {
		c, err := e.NewChannel(4)
		check(err)
		defer c.Close()
		together(2, func(i int) {
			if i == 0 {
				for n := 0; n < 1000; n++ {
					check(c.Send(background, ferry.Message{Result: int64(n)}))
				}
				check(c.Finish())
				fails(c.Send(background, ferry.Message{}), ferry.ErrBrokenPipe)
				return
			}
			for n := 0; n < 1000; n++ {
				m, err := c.Receive(background)
				check(err)
				expect("message", m.Result, int64(n))
			}
			_, err := c.Receive(background)
			fails(err, io.EOF)
		})
	})
	add("channel-rendezvous", func(e *ferry.Engine) {
		c, err := e.NewChannel(0)
		check(err)
		defer c.Close()
		var sent atomic.Bool
		together(2, func(i int) {
			if i == 0 {
				check(c.Send(background, ferry.Message{Result: 5}))
				sent.Store(true)
				return
			}
			time.Sleep(20 * time.Millisecond)
			expect("sent before it was received", sent.Load(), false)
			m, err := c.Receive(background)
			check(err)
			expect("message", m.Result, int64(5))
		})
	})
	add("file-load", func(e *ferry.Engine) {
		var contents [200][]byte
		for i := range contents {
			contents[i] = random(i * 100000 / 199)
			check(os.WriteFile(scratch(fmt.Sprint("load", i)), contents[i], 0600))
		}
		var next int64 = -1
		together(16, func(int) {
			for i := atomic.AddInt64(&next, 1); i < 200; i = atomic.AddInt64(&next, 1) {
				got, err := e.LoadFile(background, scratch(fmt.Sprint("load", i)))
				check(err)
				same(got, contents[i])
			}
		})
		_, err := e.LoadFile(background, scratch("nothing"))
		fails(err, ferry.ErrNotFound, os.ErrNotExist)
		_, err = e.LoadFileLimit(background, scratch("load199"), 50000)
		fails(err, ferry.ErrLimit)
	})
	add("file-store", func(e *ferry.Engine) {
		name := scratch("stored")
		before, after := random(300000), random(200000)
		check(e.StoreFile(background, name, before, 0640))
		stored := make(chan error, 1)
		go func() { stored <- e.StoreFile(background, name, after, 0) }()
		for done := false; !done; {
			select {
			case err := <-stored:
				check(err)
				done = true
			default:
			}
			got, err := os.ReadFile(name)
			check(err)
			if !bytes.Equal(got, before) && !bytes.Equal(got, after) {
				panic(failed("neither the old bytes nor the new"))
			}
		}
		got, err := os.ReadFile(name)
		check(err)
		same(got, after)
		info, err := e.Stat(name)
		check(err)
		expect("mode", info.Mode(), os.FileMode(0640))
		fails(e.StoreFile(background, scratch("no/folder"), after, 0), ferry.ErrNotFound, os.ErrNotExist)
	})
	add("file-io", fileIO)
	add("copy", func(e *ferry.Engine) {
		name := scratch("copied")
		content := random(1000000)
		check(os.WriteFile(name, content, 0600))
		c := peer(e, "count")
		defer c.Close()
		_, err := e.Do(background, ferry.Chain(ferry.OpenAt(name, os.O_RDONLY, 0),
			ferry.CopyTo(c.Handle(), ferry.Opened(0), -1), ferry.CloseHandle(ferry.Opened(0))))
		check(err)
		countOf(c, content)
	})
	add("shutdown-load", shutdownLoad)
	add("after-shutdown", afterShutdown)
	add("wrong-thread", func(*ferry.Engine) {
		panic(skipped("nothing in this layer belongs to a thread: goroutines move between them"))
	})
	add("collected", collected)
	add("forked", func(*ferry.Engine) {
		// What Go can do: start another program, which must not inherit anything of the engine's.
		out, err := exec.Command("sh", "-c", "ls -l /proc/self/fd | grep -c anon_inode").Output()
		if text := strings.TrimSpace(string(out)); text != "0" {
			panic(failed(fmt.Sprint("descriptors inherited: ", text, err)))
		}
		panic(skipped("Go cannot fork; starting a program works and it inherits no descriptor"))
	})
	add("exit", func(*ferry.Engine) {
		command := exec.Command(os.Args[0], "-exit")
		begin := time.Now()
		out, err := command.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 || len(out) > 0 {
			panic(failed(fmt.Sprint(err, string(out))))
		}
		expect("it took long", time.Since(begin) > 10*time.Second, false)
	})
}

// exitBusy is the child of "exit": it ends with a hundred operations in flight.
func exitBusy() {
	e := newEngine(nil)
	l := listen(e)
	go l.Accept()
	for i := 0; i < 50; i++ {
		go e.Sleep(background, time.Hour)
		c := peer(e, "silent")
		go c.Read(make([]byte, 1))
	}
	for {
		if info, _ := e.Info(); info.OpsInFlight >= 101 {
			os.Exit(7)
		}
		time.Sleep(time.Millisecond)
	}
}

// This binding refuses with ErrFull what finds no operation slot.
func queueFull(*ferry.Engine) {
	e := newEngine(&ferry.Options{Ops: 8})
	defer e.Close()
	ctx, cancel := context.WithCancel(background)
	ended := make(chan error, 8)
	for i := 0; i < 8; i++ {
		go func() { ended <- e.Sleep(ctx, time.Hour) }()
	}
	for info, _ := e.Info(); info.OpsInFlight < 8; info, _ = e.Info() {
		time.Sleep(time.Millisecond)
	}
	fails(e.Sleep(background, 0), ferry.ErrFull)
	cancel()
	for i := 0; i < 8; i++ {
		fails(<-ended, context.Canceled)
	}
	check(e.Sleep(background, 0))
	settled(e, ferry.Info{})
}

func fileIO(e *ferry.Engine) {
	f, err := e.OpenFile(scratch("file"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0600)
	check(err)
	_, err = e.OpenFile(scratch("file"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0600)
	fails(err, ferry.ErrExists, os.ErrExist)
	_, err = f.Write([]byte("begin"))
	check(err)
	_, err = f.WriteAt([]byte("end"), 10000)
	check(err)
	_, err = f.Seek(0, io.SeekStart)
	check(err)
	want := append(append([]byte("begin"), make([]byte, 9995)...), "end"...)
	same(readAll(f), want)
	info, err := f.Stat()
	check(err)
	expect("size", info.Size(), int64(10003))
	check(f.Truncate(5))
	check(f.Sync())
	got := make([]byte, 10)
	n, err := f.ReadAt(got, 0)
	expect("read", string(got[:n]), "begin")
	fails(err, io.EOF)
	n, err = f.Read(got)
	expect("read at the end", n, 0)
	fails(err, io.EOF)
	check(f.Close())
	check(f.Close())
	_, err = f.Read(got)
	fails(err, ferry.ErrStale, os.ErrClosed)
	text, err := os.ReadFile(scratch("file"))
	check(err)
	expect("file", string(text), "begin")
}

// pendingOfAllKinds starts what does not end by itself; each says in the end how it went.
func pendingOfAllKinds(e *ferry.Engine) (ends chan error, count int) {
	ends = make(chan error, 1000)
	run := func(each func() error) {
		count++
		go func() { ends <- each() }()
	}
	l := listen(e)
	run(func() error { _, err := l.Accept(); return err })
	for i := 0; i < 50; i++ {
		c := peer(e, "silent")
		run(func() error { _, err := c.Read(make([]byte, 1)); return err })
		run(func() error { // The peer reads nothing that is not there to be read: it never ends.
			_, err := e.Do(background, ferry.Chain(ferry.SleepFor(time.Hour), ferry.ShutDown(c.Handle())))
			return err
		})
	}
	channel, err := e.NewChannel(1)
	check(err)
	for i := 0; i < 50; i++ {
		run(func() error { _, err := channel.Receive(background); return err })
		run(func() error {
			_, err := e.Do(background, ferry.Retry(0, time.Hour, 0, ferry.ConnectTo(refusingAddress())))
			return err
		})
	}
	for count < 1000 {
		run(func() error { return e.Sleep(background, time.Hour) })
	}
	return ends, count
}

func shutdownLoad(*ferry.Engine) {
	e := newEngine(nil)
	ends, count := pendingOfAllKinds(e)
	for info, _ := e.Info(); info.OpsInFlight < 1000; info, _ = e.Info() {
		time.Sleep(time.Millisecond)
	}
	check(e.Close())
	for i := 0; i < count; i++ {
		select {
		case err := <-ends:
			failsWith(err, ferry.ErrShutdown, ferry.ErrCanceled, ferry.ErrClosed)
		case <-time.After(20 * time.Second):
			panic(failed(fmt.Sprint(count-i, " have not ended")))
		}
	}
}

func afterShutdown(*ferry.Engine) {
	e := newEngine(nil)
	c := peer(e, "bytes 100000")
	_, err := c.Read(make([]byte, 10)) // More has been lent than was read.
	check(err)
	l := listen(e)
	channel, err := e.NewChannel(1)
	check(err)
	box, err := e.NewMailbox(1)
	check(err)
	ticker, err := e.NewTicker(time.Hour)
	check(err)
	check(os.WriteFile(scratch("after"), []byte("x"), 0600))
	f, err := e.Open(scratch("after"))
	check(err)
	check(e.Close())
	check(e.Close())
	buffer := make([]byte, 10)
	for _, each := range []func() error{
		func() error { _, err := io.ReadFull(c, make([]byte, 200000)); return err },
		func() error { _, err := c.Write(buffer); return err },
		func() error { return c.CloseWrite() },
		func() error { return c.SetNoDelay(true) },
		func() error { _, err := l.Accept(); return err },
		func() error { _, err := e.Dial("tcp", l.Addr().String()); return err },
		func() error { _, err := e.Listen("tcp", "127.0.0.1:0"); return err },
		func() error { _, err := e.Resolve(background, "ip", "localhost", 1); return err },
		func() error { _, err := f.Read(buffer); return err },
		func() error { _, err := f.Stat(); return err },
		func() error { _, err := e.Open(scratch("after")); return err },
		func() error { _, err := e.LoadFile(background, scratch("after")); return err },
		func() error { return e.StoreFile(background, scratch("after"), buffer, 0) },
		func() error { return e.Sleep(background, 0) },
		func() error { return channel.Send(background, ferry.Message{}) },
		func() error { _, err := channel.Receive(background); return err },
		func() error { return box.Post(ferry.Message{}) },
		func() error { _, err := box.Receive(background); return err },
		func() error { _, err := e.NewChannel(1); return err },
		func() error { _, err := e.NewMailbox(1); return err },
		func() error { _, err := e.Do(background, ferry.All(ferry.SleepFor(0))); return err },
		func() error { _, err := e.Info(); return err },
	} {
		failsWith(each(), ferry.ErrShutdown, ferry.ErrStale)
	}
	ticker.Stop()
	c.LocalAddr()
	e.Discard(c.Handle())
	for _, each := range []io.Closer{c, l, f, channel, box} {
		check(each.Close())
	}
	fails(errors.Unwrap(&ferry.Error{Status: ferry.ErrShutdown}), ferry.ErrShutdown)
}

func collected(e *ferry.Engine) {
	func() {
		l := listen(e)
		defer l.Close()
		check(os.WriteFile(scratch("forgotten"), []byte("x"), 0600))
		for i := 0; i < 100; i++ {
			c, err := e.Dial("tcp", l.Addr().String())
			check(err)
			s, err := l.Accept()
			check(err)
			write(c, []byte("xy"))
			_, err = s.Read(make([]byte, 1)) // The engine still receives, and has lent a buffer.
			check(err)
			for n := 0; n < 2; n++ {
				_, err := e.Open(scratch("forgotten"))
				check(err)
			}
		}
		info, err := e.Info()
		check(err)
		if info.HandlesOpen < 400 {
			panic(failed(fmt.Sprint("only ", info.HandlesOpen, " handles are open")))
		}
	}()
	for i := 0; i < 200; i++ {
		runtime.GC()
		if info, _ := e.Info(); info.HandlesOpen == 0 && info.BuffersLent == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var _ net.Error = (*ferry.Error)(nil)

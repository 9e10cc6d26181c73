package ferry

import (
	"sync"
	"sync/atomic"
	"time"
)

// limit is a deadline as net.Conn has it: it may be set, moved and taken away at any time, and says
// so to those who wait.
type limit struct {
	mu      sync.Mutex
	timer   *time.Timer
	count   uint64 // Which setting; a timer of an earlier one says nothing.
	expired atomic.Bool
	notify  func()
}

func (l *limit) set(t time.Time) {
	l.mu.Lock()
	l.count++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	expired := !t.IsZero() && time.Until(t) <= 0
	l.expired.Store(expired)
	if !t.IsZero() {
		if left := time.Until(t); !expired {
			count := l.count
			l.timer = time.AfterFunc(left, func() { l.expire(count) })
		}
	}
	l.mu.Unlock()
	if expired {
		l.notify()
	}
}

func (l *limit) expire(count uint64) {
	l.mu.Lock()
	mine := count == l.count
	if mine {
		l.expired.Store(true)
	}
	l.mu.Unlock()
	if mine {
		l.notify()
	}
}

func (l *limit) passed() bool { return l.expired.Load() }

// signal wakes one who waits on the channel, now or the next time.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

package ferry

import (
	"sync"
	"time"
)

// limit is a deadline as net.Conn has it: it may be set, moved and taken away at any time, and says
// so to those who wait.
type limit struct {
	mu      sync.Mutex
	timer   *time.Timer
	count   uint64 // Which setting; a timer of an earlier one says nothing.
	expired bool
	notify  func()
}

func (l *limit) set(t time.Time) {
	l.mu.Lock()
	l.count++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.expired = false
	if !t.IsZero() {
		left := time.Until(t)
		if left <= 0 {
			l.expired = true
		} else {
			count := l.count
			l.timer = time.AfterFunc(left, func() { l.expire(count) })
		}
	}
	expired := l.expired
	l.mu.Unlock()
	if expired {
		l.notify()
	}
}

func (l *limit) expire(count uint64) {
	l.mu.Lock()
	mine := count == l.count
	if mine {
		l.expired = true
	}
	l.mu.Unlock()
	if mine {
		l.notify()
	}
}

func (l *limit) passed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expired
}

// signal wakes one who waits on the channel, now or the next time.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

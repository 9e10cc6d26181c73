package ferry

import (
	"sync"
	"unsafe"
)

// blocks keeps C memory for what must not move while an operation works on it: large writes, what
// files are read into. Blocks of the usual sizes are used again.
type blocks struct {
	mu   sync.Mutex
	free [len(blockSizes)][]unsafe.Pointer
}

var blockSizes = [...]int{4 << 10, 64 << 10, 256 << 10}

const (
	blockBytesMax = 256 << 10
	blocksKept    = 64
)

type block struct {
	memory unsafe.Pointer
	size   int
	class  int
}

func (b *block) bytes() []byte { return unsafe.Slice((*byte)(b.memory), b.size) }
func (b *block) at() uint64    { return number(b.memory) }

func (s *blocks) take(size int) block {
	for class, bytes := range blockSizes {
		if size > bytes {
			continue
		}
		s.mu.Lock()
		if last := len(s.free[class]) - 1; last >= 0 {
			memory := s.free[class][last]
			s.free[class] = s.free[class][:last]
			s.mu.Unlock()
			return block{memory, size, class}
		}
		s.mu.Unlock()
		return block{allocateC(bytes), size, class}
	}
	return block{allocateC(size), size, -1}
}

func (s *blocks) give(b block) {
	if b.class >= 0 {
		s.mu.Lock()
		if len(s.free[b.class]) < blocksKept {
			s.free[b.class] = append(s.free[b.class], b.memory)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
	freeC(b.memory)
}

func (s *blocks) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, list := range s.free {
		for _, memory := range list {
			freeC(memory)
		}
		s.free[class] = nil
	}
}

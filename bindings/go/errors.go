package ferry

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Status is one of Ferry's own numbers for what went wrong; errors.Is(err, ferry.ErrTimedOut) asks
// for it. Numbers are only ever added.
type Status int32

func (s Status) Error() string {
	if text, ok := statusTexts[s]; ok {
		return text[1]
	}
	return "status " + strconv.Itoa(int(s))
}

// Name is the constant's name in C, "FERRY_E_TIMED_OUT".
func (s Status) Name() string {
	if s == 0 {
		return "FERRY_OK"
	}
	if text, ok := statusTexts[s]; ok {
		return text[0]
	}
	return "FERRY_E_?"
}

// Error is what every call of this package fails with, but for io.EOF. It is a net.Error, and
// errors.Is knows it by its Status, by the system's number, and by the sentinels of packages io, os,
// net and context that mean the same.
type Error struct {
	Op     string        // What was tried: "read", "dial", "open".
	Name   string        // The path, address or name it was tried on; may be empty.
	Status Status        // Ferry's number.
	Errno  syscall.Errno // The system's; 0 if it has none to say.
	Lookup int           // The resolver's number (EAI_...) where a name was looked up, else 0.
}

func (e *Error) Error() string {
	text := e.Op
	if e.Name != "" {
		text += " " + e.Name
	}
	text += ": " + e.Status.Error()
	if e.Status == ErrOs {
		text += ": " + e.Errno.Error()
	}
	return text
}

// Unwrap gives the Status.
func (e *Error) Unwrap() error { return e.Status }

// Timeout says whether a deadline passed.
func (e *Error) Timeout() bool {
	return e.Status == ErrTimedOut || e.Status == ErrConnectionTimedOut
}

// Temporary says whether trying again may help.
func (e *Error) Temporary() bool {
	switch e.Status {
	case ErrTimedOut, ErrNoDescriptors, ErrNoHandles, ErrFull, ErrConnectionReset,
		ErrConnectionAborted, ErrNameTryAgain:
		return true
	}
	return false
}

var sentinels = map[Status][]error{
	ErrInvalid:             {fs.ErrInvalid, syscall.EINVAL},
	ErrNoMemory:            {syscall.ENOMEM},
	ErrCanceled:            {context.Canceled},
	ErrTimedOut:            {os.ErrDeadlineExceeded, context.DeadlineExceeded},
	ErrShutdown:            {net.ErrClosed, fs.ErrClosed},
	ErrStale:               {net.ErrClosed, fs.ErrClosed},
	ErrClosed:              {net.ErrClosed, fs.ErrClosed},
	ErrEnd:                 {io.ErrUnexpectedEOF},
	ErrNotFound:            {fs.ErrNotExist, syscall.ENOENT},
	ErrAccess:              {fs.ErrPermission, syscall.EACCES},
	ErrExists:              {fs.ErrExist, syscall.EEXIST},
	ErrNotDirectory:        {syscall.ENOTDIR},
	ErrIsDirectory:         {syscall.EISDIR},
	ErrNoSpace:             {syscall.ENOSPC},
	ErrNoDescriptors:       {syscall.EMFILE},
	ErrIo:                  {syscall.EIO},
	ErrNameTooLong:         {syscall.ENAMETOOLONG},
	ErrLoop:                {syscall.ELOOP},
	ErrReadOnly:            {syscall.EROFS},
	ErrFileTooLarge:        {syscall.EFBIG},
	ErrConnectionRefused:   {syscall.ECONNREFUSED},
	ErrConnectionReset:     {syscall.ECONNRESET},
	ErrConnectionAborted:   {syscall.ECONNABORTED},
	ErrConnectionTimedOut:  {syscall.ETIMEDOUT},
	ErrBrokenPipe:          {syscall.EPIPE},
	ErrAddressInUse:        {syscall.EADDRINUSE},
	ErrAddressNotAvailable: {syscall.EADDRNOTAVAIL},
	ErrHostUnreachable:     {syscall.EHOSTUNREACH},
	ErrNetworkUnreachable:  {syscall.ENETUNREACH},
	ErrNetworkDown:         {syscall.ENETDOWN},
	ErrNotConnected:        {syscall.ENOTCONN},
	ErrAddressFamily:       {syscall.EAFNOSUPPORT},
}

// Is says whether target means the same.
func (e *Error) Is(target error) bool {
	for _, same := range sentinels[e.Status] {
		if same == target {
			return true
		}
	}
	return e.Errno != 0 && target == error(e.Errno)
}

// As lets a failed look-up be a *net.DNSError, too.
func (e *Error) As(target any) bool {
	dns, ok := target.(**net.DNSError)
	if !ok {
		return false
	}
	switch e.Status {
	case ErrNameNotFound, ErrNameTryAgain, ErrNameFailed:
		*dns = &net.DNSError{Err: e.Status.Error(), Name: e.Name,
			IsNotFound: e.Status == ErrNameNotFound, IsTemporary: e.Status == ErrNameTryAgain}
		return true
	}
	return false
}

package ferry

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"ferry/raw"
)

func rawAddress(a netip.AddrPort) (r raw.Address) {
	r.Port = a.Port()
	ip := a.Addr()
	if ip.Is4() {
		r.Family = uint16(raw.Ipv4)
		four := ip.As4()
		copy(r.Bytes[:], four[:])
		return r
	}
	r.Family = uint16(raw.Ipv6)
	r.Bytes = ip.As16()
	if zone := ip.Zone(); zone != "" {
		if number, err := strconv.ParseUint(zone, 10, 32); err == nil {
			r.ScopeId = uint32(number)
		} else if i, err := net.InterfaceByName(zone); err == nil {
			r.ScopeId = uint32(i.Index)
		}
	}
	return r
}

func addrPort(r *raw.Address) netip.AddrPort {
	if r.Family == uint16(raw.Ipv4) {
		var four [4]byte
		copy(four[:], r.Bytes[:])
		return netip.AddrPortFrom(netip.AddrFrom4(four), r.Port)
	}
	ip := netip.AddrFrom16(r.Bytes)
	if r.ScopeId != 0 {
		ip = ip.WithZone(strconv.Itoa(int(r.ScopeId)))
	}
	return netip.AddrPortFrom(ip, r.Port)
}

// addresses copies what a look-up lends, and gives it back.
func (e *Engine) addresses(c *raw.Completion) []netip.AddrPort {
	lent, err := e.copyLent(c)
	if err != nil {
		return nil
	}
	size := int(unsafe.Sizeof(raw.Address{}))
	found := make([]netip.AddrPort, len(lent)/size)
	for i := range found {
		var one raw.Address
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&one)), size), lent[i*size:])
		found[i] = addrPort(&one)
	}
	return found
}

func (e *Engine) socketAddress(handle, peer uint64) (*net.TCPAddr, error) {
	r := request{raw: raw.Request{Opcode: raw.OpSocketAddress, Target: handle}}
	r.raw.SocketAddress().Peer = peer
	done := e.do(nil, &r)
	if err := failure(nil, "address", "", &done); err != nil {
		return nil, err
	}
	found := e.addresses(&done)
	if len(found) == 0 {
		return nil, &Error{Op: "address", Status: ErrShutdown}
	}
	return net.TCPAddrFromAddrPort(found[0]), nil
}

// Resolve looks a name up: its addresses in the order in which to try them, each with the port.
// network is "ip" or "tcp", with a 4 or 6 behind it for one family only.
func (e *Engine) Resolve(ctx context.Context, network, name string, port uint16) ([]netip.AddrPort, error) {
	described := withText(raw.OpNameResolve, name)
	if described.wrong != 0 || len(name) > raw.PathMax {
		return nil, &Error{Op: "lookup", Name: name, Status: ErrInvalid}
	}
	r := request{raw: described.raw, bytes: len(name) + 16, encode: encodeText(name)}
	r.raw.Resolve().Port = uint32(port)
	r.raw.Resolve().Family = familyOf(network)
	done := e.do(ctx, &r)
	if err := failure(ctx, "lookup", name, &done); err != nil {
		return nil, err
	}
	return e.addresses(&done), nil
}

func familyOf(network string) uint32 {
	switch network[len(network)-1:] {
	case "4":
		return raw.Ipv4
	case "6":
		return raw.Ipv6
	}
	return 0
}

func encodeText(text string) func(*batch, *raw.Request) {
	return func(b *batch, place *raw.Request) {
		bytes := b.room(len(text) + 1)
		copy(bytes, text)
		bytes[len(text)] = 0
		place.Words[0] = number(pointerTo(bytes))
	}
}

func pointerTo(bytes []byte) unsafe.Pointer { return unsafe.Pointer(&bytes[0]) }

// splitAddress takes "host:port" apart; the port may be a service's name.
func splitAddress(network, address string) (host string, port uint16, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", 0, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := net.LookupPort(network, service)
	return host, uint16(number), err
}

// connectRequest describes connecting to a literal address or a name.
func connectRequest(network, address string) (Request, error) {
	host, port, err := splitAddress(network, address)
	if err != nil {
		return Request{}, err
	}
	if host == "" {
		host = "127.0.0.1"
		if network == "tcp6" {
			host = "::1"
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		r := plain(raw.OpTcpConnect, 0)
		r.raw.Connect().Address = rawAddress(netip.AddrPortFrom(ip.Unmap(), port))
		return r, nil
	}
	r := withText(raw.OpTcpConnectName, host)
	r.raw.ConnectName().Port = uint64(port)
	return r, nil
}

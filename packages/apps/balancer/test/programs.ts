// Programs of the network around a balancer, in Python: servers, clients, and what takes packets out of their envelope where the kernel has no
// device for it. Called by lab.ts.

/** Answers `name address-of-client` to every message, TCP and UDP, and `/ready` to HTTP. argv: name port */
export const server = `
import socket, sys, threading
name, port = sys.argv[1], int(sys.argv[2])
def plain(a): return a[0].replace('::ffff:', '')
def bound(kind, only6=0):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('::', port))
    return s
tcp = bound(socket.SOCK_STREAM)
udp6 = bound(socket.SOCK_DGRAM, 1)
udp4 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp4.bind(('0.0.0.0', port))
udp4.setsockopt(socket.IPPROTO_IP, 8, 1)
udp6.setsockopt(socket.IPPROTO_IPV6, 49, 1)
tcp.listen(1024)
def serve(c, a):
    try:
        while True:
            d = c.recv(4096)
            if not d: break
            if d.startswith(b'GET'):
                c.sendall(b'HTTP/1.0 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n'); break
            c.sendall(f'{name} {plain(a)}\\n'.encode())
    except OSError: pass
    c.close()
def datagrams(udp):
    while True:
        d, anc, _, a = udp.recvmsg(4096, 256)
        # the answer comes from the address that was asked, by whatever device
        info = [(l, t, v[:16] + bytes(4) if l == socket.IPPROTO_IPV6 else bytes(4) + v[8:12] + bytes(4)) for l, t, v in anc]
        udp.sendmsg([f'{name} {plain(a)}\\n'.encode()], info, 0, a)
for u in (udp4, udp6): threading.Thread(target=datagrams, args=(u,), daemon=True).start()
print('up', flush=True)
while True:
    c, a = tcp.accept()
    threading.Thread(target=serve, args=(c, a), daemon=True).start()
`;

/** One question from each local port (0: any); prints an answer or an error a line. argv: address port tcp|udp local-port... */
export const ask = `
import socket, sys
address, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for local in sys.argv[4:]:
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.settimeout(1.5)
    s.bind(('::' if ':' in address else '0.0.0.0', int(local)))
    try:
        s.connect((address, port))
        s.send(b'who')
        print(s.recv(200).decode().strip())
    except OSError as e:
        print(type(e).__name__)
`;

/**
 * One datagram that may not be cut of each size, that of the whole IP packet; prints `size delivered`, `size told MTU` or `size lost` a line.
 * argv: address port size...
 */
export const sizes = `
import errno, socket, sys
address, port = sys.argv[1], int(sys.argv[2])
six = ':' in address
level, discover, mtu, head = (socket.IPPROTO_IPV6, 23, 24, 48) if six else (socket.IPPROTO_IP, 10, 14, 28)
for size in map(int, sys.argv[3:]):
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(level, discover, 2)
    s.settimeout(3)
    s.connect((address, port))
    try:
        s.send(b'x' * (size - head))
        s.recv(200)
        print(size, 'delivered')
    except OSError as e:
        print(size, 'told ' + str(s.getsockopt(level, mtu)) if e.errno == errno.EMSGSIZE else 'lost')
`;

/** New connections, one after another, 60 and then until its input ends; then JSON: answers by name, failures, when each name answered last. argv: address port */
export const newcomers = `
import socket, sys, time, json, select
address, port = sys.argv[1], int(sys.argv[2])
answers, failures, last = {}, [], {}
print('up', flush=True)
n = 0
while n < 60 or not select.select([sys.stdin], [], [], 0.002)[0]:
    n += 1
    began = time.time()
    try:
        s = socket.create_connection((address, port), timeout=1)
        s.sendall(b'who')
        name = s.recv(200).decode().split()[0]
        s.close()
        answers[name] = answers.get(name, 0) + 1
        last[name] = began
    except (OSError, IndexError) as e:
        failures.append([began, type(e).__name__])
print(json.dumps({'answers': answers, 'failures': failures, 'last': last}), flush=True)
`;

/** Holds connections and asks over each of them again and again until its input ends; then JSON. argv: address port how-many */
export const holders = `
import socket, sys, time, json, select
address, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held, names, failures, asked = [], [], [], 0
for i in range(many):
    s = socket.create_connection((address, port), timeout=1.5)
    s.sendall(b'who'); names.append(s.recv(200).decode().split()[0]); held.append(s)
print('up', flush=True)
over = False
while not over:
    for i, s in enumerate(held):
        if select.select([sys.stdin], [], [], 0.001)[0]: over = True; break
        if s is None: continue
        try:
            s.sendall(b'who'); name = s.recv(200).decode().split()[0]; asked += 1
            if name != names[i]: failures.append([time.time(), f'{names[i]} became {name}'])
        except (OSError, IndexError) as e:
            failures.append([time.time(), f'{names[i]} {type(e).__name__}']); held[i] = None
answers = {}
for n in names: answers[n] = answers.get(n, 0) + 1
print(json.dumps({'answers': answers, 'failures': failures, 'asked': asked}), flush=True)
`;

/** Takes IPv4 in IPv4 and IPv6 in IPv6 out of the envelope and hands it to this machine, checksums made anew. Says how many on request. */
export const unwrap = `
import socket, struct, select, sys
def total(b):
    if len(b) % 2: b += b'\\0'
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return (~s) & 0xffff
def sealed(pseudo, proto, body):
    at = {6: 16, 17: 6}.get(proto)
    if at is None: return body
    body = bytearray(body); body[at:at+2] = b'\\0\\0'
    body[at:at+2] = struct.pack('!H', total(pseudo + bytes(body)) or 0xffff)
    return bytes(body)
r4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
r6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 41)
w4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
w6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
print('up', flush=True)
count = 0
while True:
    for s in select.select([r4, r6, sys.stdin], [], [])[0]:
        if s is sys.stdin: print(count, flush=True); sys.exit(0)
        d = s.recv(65535)
        if s is r4:
            d = d[(d[0] & 15) * 4:]
            n = (d[0] & 15) * 4
            head, body = d[:n], d[n:struct.unpack('!H', d[2:4])[0]]
            out, to = w4, (socket.inet_ntop(socket.AF_INET, head[16:20]), 0)
            body = sealed(head[12:20] + struct.pack('!BBH', 0, head[9], len(body)), head[9], body)
        else:
            if d[0] >> 4 != 6: continue
            head, body = d[:40], d[40:]
            out, to = w6, (socket.inet_ntop(socket.AF_INET6, head[24:40]), 0, 0, 0)
            body = sealed(head[8:40] + struct.pack('!IHBB', len(body), 0, 0, head[6]), head[6], body)
        out.sendto(head + body, to)
        count += 1
`;

/** Checksums are made by the sender, as XDP on the way needs it. argv: device */
export const noOffload = `
import array, fcntl, socket, struct, sys
data = array.array('B', struct.pack('II', 0x17, 0))
fcntl.ioctl(socket.socket(), 0x8946, struct.pack('16sP16x', sys.argv[1].encode(), data.buffer_info()[0]))
`;

/** Lets everything pass at XDP of a device, while it lives: a veth takes what XDP sends to it only then. argv: device */
export const passXdp = `
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(cmd, attr):
    b = ctypes.create_string_buffer(attr, 144)
    fd = libc.syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], cmd, b, 144)
    if fd < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
code = ctypes.create_string_buffer(struct.pack('<BBhiBBhi', 0xb7, 0, 0, 2, 0x95, 0, 0, 0))
license = ctypes.create_string_buffer(b'GPL')
head = struct.pack('<IIQQIIQII', 6, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0, 0, 0, 0)
program = bpf(5, head + bytes(16) + struct.pack('<II', 0, 37))
link = bpf(28, struct.pack('<IIII', program, socket.if_nametoindex(sys.argv[1]), 37, 4))
print('up', flush=True)
sys.stdin.read()
`;

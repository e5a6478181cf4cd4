"""A WebRTC party (aiortc) that a test drives: one JSON object a line in, one out.

On each audio line it sends PCMA whose samples all have one value, another for each line, and tells the values that it hears.
"""

import asyncio
import fractions
import json
import sys

import aioice.ice
import av
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.rtcdtlstransport import RtpRouter
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.sdp import candidate_from_sdp

# Tests stay on loopback, which aioice leaves out.
addresses = ["127.0.0.1"]
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: addresses

# 0xD5 and 0x2A in A-law are 8 and -32256; 0xD5 ^ n is 8 + 16 n for small n.
FIRST, STEP = 8, 16


def become_lite():
    """aioice has no ICE lite (RFC 8445 §2.5): it is to answer checks, and send none."""
    connection = aioice.ice.Connection

    async def check_start(self, pair):
        self.check_state(pair, aioice.ice.CandidatePair.State.SUCCEEDED)
        pair.nominated = pair.remote_nominated
        self.check_complete(pair)

    async def query_consent(self):
        pass

    connection.check_start, connection.query_consent = check_start, query_consent
    # A lite agent is controlled also where it has offered (RFC 8445 §6.1.1).
    connection.ice_controlling = property(lambda self: False, lambda self, value: None)


def route_rtp(self, packet, route=RtpRouter.route_rtp):
    """aiortc reads a MID, and goes by the SSRC alone: here the MID comes first (RFC 9143 §9.2)."""
    receiver = self.mid_table.get(packet.extensions.mid)
    if receiver is not None:
        self.ssrc_table[packet.ssrc] = receiver
    return route(self, packet)


RtpRouter.route_rtp = route_rtp


class Track(MediaStreamTrack):
    """Says something `rate` times a second."""

    def __init__(self, rate):
        super().__init__()
        self.rate, self.at, self.start = rate, 0, None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        await asyncio.sleep(self.start + self.at / self.rate - loop.time())
        frame = self.frame()
        self.at += 1
        return frame


class Tone(Track):
    kind = "audio"

    def __init__(self, number):
        super().__init__(50)
        self.value = FIRST + STEP * number

    def frame(self):
        frame = av.AudioFrame(format="s16", layout="mono", samples=160)
        frame.planes[0].update(self.value.to_bytes(2, "little", signed=True) * 160)
        frame.pts, frame.sample_rate = self.at * 160, 8000
        frame.time_base = fractions.Fraction(1, 8000)
        return frame


class Picture(Track):
    kind = "video"

    def __init__(self):
        super().__init__(10)

    def frame(self):
        frame = av.VideoFrame(width=64, height=64, format="yuv420p")
        for plane in frame.planes:
            plane.update(bytes([100 + self.at % 50]) * plane.buffer_size)
        frame.pts, frame.time_base = self.at * 9000, fractions.Fraction(1, 90000)
        return frame


class Party:
    def __init__(self):
        self.pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        # Of all lines, and of each by its mid.
        self.frames, self.values, self.lines, self.said = 0, set(), {}, 0
        self.pc.on("track", lambda track: asyncio.ensure_future(self.listen(track)))

    async def listen(self, track):
        receivers = {t.receiver.track: t for t in self.pc.getTransceivers()}
        line = self.lines.setdefault(receivers[track].mid, {"frames": 0, "values": []})
        while True:
            try:
                frame = await track.recv()
            except Exception:
                return
            self.frames += 1
            line["frames"] += 1
            if track.kind == "video":
                continue
            data = bytes(frame.planes[0])[: frame.samples * 2]
            heard = {int.from_bytes(data[i : i + 2], "little", signed=True) for i in range(0, len(data), 2)}
            self.values |= heard
            line["values"] = sorted(heard.union(line["values"]))[:16]

    def track(self, kind):
        self.said += 1
        return Tone(self.said - 1) if kind == "audio" else Picture()

    def speak(self, kind):
        transceiver = self.pc.addTransceiver(self.track(kind))
        codecs = RTCRtpSender.getCapabilities(kind).codecs
        wanted = "audio/PCMA" if kind == "audio" else "video/VP8"
        transceiver.setCodecPreferences([c for c in codecs if c.mimeType == wanted])

    def remote(self):
        """Where media goes, of all transports."""
        transports = {t.sender.transport.transport._connection for t in self.pc.getTransceivers()}
        return [list(pair.remote_addr) for c in transports for pair in c._nominated.values()]

    async def do(self, order):
        pc, what = self.pc, order["do"]
        if what == "configure":
            addresses[:] = order.get("addresses", addresses)
            if order.get("lite"):
                become_lite()
            return {}
        if what in ("offer", "offer again"):
            for kind in order.get("lines", ["audio"] if what == "offer" else []):
                self.speak(kind)
            await pc.setLocalDescription(await pc.createOffer())
            return {"sdp": pc.localDescription.sdp}
        if what == "answer":
            await pc.setRemoteDescription(RTCSessionDescription(order["sdp"], "offer"))
            for transceiver in pc.getTransceivers():
                if transceiver.sender.track is None and order.get("speaks", True):
                    pc.addTrack(self.track(transceiver.kind))
            await pc.setLocalDescription(await pc.createAnswer())
            return {"sdp": pc.localDescription.sdp}
        if what == "accept":
            await pc.setRemoteDescription(RTCSessionDescription(order["sdp"], "answer"))
            return {}
        if what == "candidate":
            candidate = candidate_from_sdp(order["candidate"])
            candidate.sdpMLineIndex = 0
            await pc.addIceCandidate(candidate)
            return {}
        if what == "heard":
            values = sorted(self.values)[:16]
            return {
                "frames": self.frames,
                "values": values,
                "state": pc.connectionState,
                "lines": self.lines,
                "remote": self.remote(),
            }
        if what == "close":
            await pc.close()
            return {}
        raise ValueError(what)


async def main():
    party = Party()
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await party.do(json.loads(line))), flush=True)


asyncio.run(main())

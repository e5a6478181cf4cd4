"""A WebRTC party (aiortc) that a test drives: one JSON object a line in, one out.

It sends PCMA whose samples all have one value, and tells the values that it hears.
"""

import asyncio
import fractions
import json
import sys

import aioice.ice
import av
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpsender import RTCRtpSender

# Tests stay on loopback, which aioice leaves out.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

# 0xD5 and 0x2A in A-law are 8 and -32256.
SENT = 8


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self):
        super().__init__()
        self.at = 0
        self.start = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        await asyncio.sleep(self.start + self.at / 8000 - loop.time())
        frame = av.AudioFrame(format="s16", layout="mono", samples=160)
        frame.planes[0].update(SENT.to_bytes(2, "little", signed=True) * 160)
        frame.pts, frame.sample_rate = self.at, 8000
        frame.time_base = fractions.Fraction(1, 8000)
        self.at += 160
        return frame


class Party:
    def __init__(self):
        self.pc = RTCPeerConnection()
        self.frames, self.values = 0, set()
        self.pc.on("track", lambda track: asyncio.ensure_future(self.listen(track)))

    async def listen(self, track):
        while True:
            try:
                frame = await track.recv()
            except Exception:
                return
            self.frames += 1
            data = bytes(frame.planes[0])[: frame.samples * 2]
            for i in range(0, len(data), 2):
                self.values.add(int.from_bytes(data[i : i + 2], "little", signed=True))

    def speak(self):
        transceiver = self.pc.addTransceiver(Tone())
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([c for c in codecs if c.mimeType == "audio/PCMA"])

    async def do(self, order):
        pc, what = self.pc, order["do"]
        if what in ("offer", "offer again"):
            if what == "offer":
                self.speak()
            await pc.setLocalDescription(await pc.createOffer())
            return {"sdp": pc.localDescription.sdp}
        if what == "answer":
            await pc.setRemoteDescription(RTCSessionDescription(order["sdp"], "offer"))
            pc.addTrack(Tone())
            await pc.setLocalDescription(await pc.createAnswer())
            return {"sdp": pc.localDescription.sdp}
        if what == "accept":
            await pc.setRemoteDescription(RTCSessionDescription(order["sdp"], "answer"))
            return {}
        if what == "heard":
            values = sorted(self.values)[:16]
            return {"frames": self.frames, "values": values, "state": pc.connectionState}
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

// The microphone: opened once a person asks for it, closed when the page is left; samples as they are, without the browser's processing.

const REASONS = {
  NotAllowedError: "The browser may not use the microphone. Allow it for this page: the sign at the left of the address, then reload.",
  NotFoundError: "No microphone was found. Plug one in, and press the button again.",
  NotReadableError: "The microphone is in use by another program, or was unplugged. Close that program, and press the button again.",
  OverconstrainedError: "No microphone was found. Plug one in, and press the button again.",
};

export function whyNoMicrophone() {
  if (window.isSecureContext && navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode) return "";
  if (!window.isSecureContext) {
    return "This page came over plain HTTP, and browsers give the microphone only to encrypted pages. Start the studio with " +
      "`speechtl studio --lan`, and open the https address that it prints.";
  }
  return "This browser cannot record sound for a page; take a current Firefox, Chrome, Edge or Safari.";
}

export class Microphone {
  constructor() {
    this.listeners = new Set();
    this.context = null;
  }

  get rate() { return this.context.sampleRate; }
  get label() { return this.stream?.getAudioTracks()[0]?.label || "browser"; }
  get open() { return this.context !== null; }

  async start() {
    if (this.context) { await this.context.resume(); return; }
    const why = whyNoMicrophone();
    if (why) throw new Error(why);
    const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (error) {
      throw new Error(REASONS[error.name] || `The microphone cannot be used: ${error.message}`);
    }
    const context = new AudioContext();
    await context.audioWorklet.addModule("/static/worklet.js");
    await context.resume();
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 1 });
    tap.port.onmessage = ({ data }) => this.listeners.forEach((listener) => listener(data));
    context.createMediaStreamSource(this.stream).connect(tap);
    tap.connect(context.destination); // silent, but some browsers run only what is connected
    this.stream.getAudioTracks()[0].onended = () => { this.stop(); this.onlost?.(); };
    this.context = context;
  }

  stop() {
    this.stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.context?.close();
    this.context = null;
  }
}

export const microphone = new Microphone();

export function level(block) {
  let peak = 0, energy = 0;
  for (const sample of block) { peak = Math.max(peak, Math.abs(sample)); energy += sample * sample; }
  return { peak, db: 10 * Math.log10(energy / block.length + 1e-12) };
}

export function joined(blocks) {
  const samples = new Float32Array(blocks.reduce((length, block) => length + block.length, 0));
  let at = 0;
  for (const block of blocks) { samples.set(block, at); at += block.length; }
  return samples;
}

export function toInt16(samples) {
  const whole = new Int16Array(samples.length);
  for (let index = 0; index < samples.length; index++) whole[index] = Math.round(Math.max(-1, Math.min(samples[index], 32767 / 32768)) * 32768);
  return whole;
}

export function wav(samples, sampleRate) {
  const whole = toInt16(samples);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, index) => head.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF"); head.setUint32(4, 36 + whole.byteLength, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, sampleRate, true); head.setUint32(28, sampleRate * 2, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  text(36, "data"); head.setUint32(40, whole.byteLength, true);
  return new Blob([head, whole], { type: "audio/wav" });
}

// A name that sorts by time and that no other window gives; the studio keeps names of lower-case letters, digits and _ as they are.
export function takeName() {
  const stamp = new Date().toISOString().toLowerCase().replace(/[-:z]/g, "").replace(".", "_");
  return `${stamp}_${Math.random().toString(36).slice(2, 6).padEnd(4, "0")}`;
}

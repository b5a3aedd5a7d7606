// Passes the samples of the microphone to the page, in blocks.
class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(1024);
    this.filled = 0;
  }

  process([input]) {
    const channel = input[0];
    if (!channel) return true;
    for (let index = 0; index < channel.length; index++) {
      this.block[this.filled++] = channel[index];
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block);
        this.block = new Float32Array(1024);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("tap", Tap);

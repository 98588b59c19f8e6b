// Streams of events that can be cut in the middle, or ended as the server ends them.

export class Streams {
  /** How many were opened. */
  count = 0;
  /** Else a page of a proxy comes instead. */
  getThrough = true;
  #end: ((lastWords: string | null) => void) | null = null;

  /** A stream that can be cut; any other answer as it is. */
  opened(answer: Response): Response {
    const isStream = answer.headers.get("Content-Type")?.startsWith("text/event-stream") === true;
    if (!isStream || answer.body === null) return answer;
    if (!this.getThrough) {
      void answer.body.cancel();
      return new Response("<p>?</p>", { headers: { "Content-Type": "text/html" } });
    }
    this.count += 1;
    return new Response(this.#cuttable(answer.body), { status: answer.status, headers: answer.headers });
  }

  /** End the one that was opened last: in the middle, or with a reason. */
  cut(reason: string | null = null): void {
    if (this.#end === null) throw new Error("no stream was opened");
    this.#end(reason === null ? null : `event: end\ndata: {"reason":"${reason}"}\n\n`);
  }

  #cuttable(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#end = (lastWords) => {
          if (lastWords === null) controller.error(new TypeError("the stream was cut"));
          else controller.enqueue(new TextEncoder().encode(lastWords));
          void reader.cancel().catch(() => null);
        };
        void pass(reader, controller);
      },
      cancel: () => reader.cancel(),
    });
  }
}

async function pass(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  controller: ReadableStreamDefaultController<Uint8Array>,
): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      controller.enqueue(value);
    }
  } catch (error) {
    try {
      controller.error(error);
    } catch {
      // it was ended already
    }
  }
}

// Asks a server by the Vercel AI SDK, and prints what came as one JSON object: `vercel.mjs URL KEY MODEL EMBEDDER`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const [url, key, model, embedder] = process.argv.slice(2);
const provider = createOpenAICompatible({
  name: "penstock",
  baseURL: `${url}/v1`,
  apiKey: key,
  supportsStructuredOutputs: true,
  includeUsage: true,
});
const llm = provider(model);
const found = {};

const whole = await generateText({ model: llm, system: "Be brief.", prompt: "Say three words" });
found.chat = { text: whole.text, reason: whole.finishReason, tokens: whole.usage.outputTokens };

const stream = streamText({ model: llm, prompt: "Say three words" });
found.stream = "";
for await (const piece of stream.textStream) found.stream += piece;

const weather = tool({ description: "The weather.", inputSchema: z.object({ city: z.string() }) });
const called = await generateText({
  model: llm,
  tools: { weather },
  toolChoice: { type: "tool", toolName: "weather" },
  prompt: '{"city":"Bern"}',
});
found.tool = called.toolCalls.map((call) => [call.toolName, call.input]);

const structured = await generateText({
  model: llm,
  output: Output.object({ schema: z.object({ city: z.string() }) }),
  prompt: '{"city":"Bern"}',
});
found.structured = structured.output;

const { embeddings } = await embedMany({
  model: provider.textEmbeddingModel(embedder),
  values: ["a gate", "a wheel"],
});
found.embeddings = embeddings.map((vector) => vector.length);

try {
  await generateText({ model: provider("no-such-model"), prompt: "Hi", maxRetries: 0 });
} catch (error) {
  found.error = { status: error.statusCode, message: error.message };
}
console.log(JSON.stringify(found));

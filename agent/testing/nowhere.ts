/** The least that the agent starts with: services that nobody runs. */
export const NOWHERE = {
  ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:1/;accesskey=c2VjcmV0",
  SPEECH_KEY: "speech key",
  SPEECH_HOST: "http://127.0.0.1:1",
  AZURE_OPENAI_ENDPOINT: "http://127.0.0.1:1",
  AZURE_OPENAI_KEY: "model key",
  AZURE_OPENAI_DEPLOYMENT: "gpt",
  AGENT_QUEUE_NUMBER: "+18005550150",
} as const;

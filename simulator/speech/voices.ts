/** A voice that Azure offers, and the built-in one that speaks for it. */
export interface Voice {
  readonly shortName: string;
  readonly displayName: string;
  readonly locale: string;
  readonly gender: "Female" | "Male" | "Neutral";
  readonly builtIn: BuiltInVoice;
}

/** The voices of the flite build: two US ones, a Scottish one, and an older robotic one. */
export type BuiltInVoice = "slt" | "rms" | "awb" | "kal16";

const BUILT_IN: readonly BuiltInVoice[] = ["slt", "rms", "awb", "kal16"];
const DEFAULT_SHORT_NAME = "en-US-AvaMultilingualNeural";

/** `name gender builtIn`; the locale is in the name. What the service offers, for telephony in English. */
const CATALOGUE = `
en-US-AvaMultilingualNeural Female slt
en-US-AndrewMultilingualNeural Male rms
en-US-EmmaMultilingualNeural Female slt
en-US-BrianMultilingualNeural Male rms
en-US-AvaNeural Female slt
en-US-AndrewNeural Male rms
en-US-EmmaNeural Female slt
en-US-BrianNeural Male rms
en-US-JennyNeural Female slt
en-US-GuyNeural Male rms
en-US-AriaNeural Female slt
en-US-DavisNeural Male rms
en-US-JaneNeural Female slt
en-US-JasonNeural Male rms
en-US-SaraNeural Female slt
en-US-TonyNeural Male kal16
en-US-NancyNeural Female slt
en-US-ChristopherNeural Male rms
en-US-EricNeural Male kal16
en-US-JennyMultilingualNeural Female slt
en-US-RyanMultilingualNeural Male rms
en-GB-SoniaNeural Female slt
en-GB-RyanNeural Male awb
en-GB-LibbyNeural Female slt
en-GB-ThomasNeural Male awb
en-AU-NatashaNeural Female slt
en-AU-WilliamNeural Male awb
en-IE-EmilyNeural Female slt
en-IE-ConnorNeural Male awb
`;

/** Every voice of the emulated service, in the order in which it lists them. */
export const VOICES: readonly Voice[] = CATALOGUE.trim().split("\n").map(parseVoice);

function parseVoice(line: string): Voice {
  const [shortName = "", gender, builtIn] = line.split(" ");
  return {
    shortName,
    displayName: shortName
      .slice(shortName.lastIndexOf("-") + 1)
      .replace(/(Multilingual)?Neural$/, ""),
    locale: shortName.slice(0, shortName.lastIndexOf("-")),
    gender: gender === "Male" ? "Male" : "Female",
    builtIn: BUILT_IN.find((name) => name === builtIn) ?? "slt",
  };
}

/**
 * Finds a voice by Azure's short name (`en-US-JennyNeural`), its long form (`Microsoft Server Speech
 * Text to Speech Voice (en-US, JennyNeural)`) or a built-in voice's own name. Without a name: the
 * default of the Speech SDK for en-US.
 */
export function findVoice(name: string = DEFAULT_SHORT_NAME): Voice | undefined {
  const long = /\(([\w-]+), *(\w+)\)$/.exec(name);
  const wanted = (long === null ? name : `${long[1]}-${long[2]}`).toLowerCase();
  return (
    VOICES.find(({ shortName }) => shortName.toLowerCase() === wanted) ??
    VOICES.find(({ builtIn }) => builtIn === wanted)
  );
}

(() => {
  const about = JSON.parse(document.getElementById("about").textContent);
  const $ = (id) => document.getElementById(id);
  const store = "wavegan-test-" + about.test;
  const random = () => crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
  const shuffled = (items) => {
    const found = [...items];
    for (let i = found.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [found[i], found[j]] = [found[j], found[i]];
    }
    return found;
  };
  const begun = () => ({
    listener: [...crypto.getRandomValues(new Uint8Array(6))].map((x) => x.toString(16).padStart(2, "0")).join(""),
    started: null, ended: null, answers: [],
    order: shuffled(about.trials).map((one) => ({ trial: one.trial, sounds: shuffled(one.sounds) })),
  });
  let state = null;
  try { state = JSON.parse(localStorage.getItem(store)); } catch { /* no storage */ }
  state ??= begun();
  const keep = () => { try { localStorage.setItem(store, JSON.stringify(state)); } catch { /* no storage */ } };
  const trials = Object.fromEntries(about.trials.map((one) => [one.trial, one]));

  // --- sounds ---
  let audio = null, source = null;
  const context = () => audio ??= new AudioContext();
  const buffers = new Map();
  const buffer = (number) => {
    if (!buffers.has(number)) {
      const text = atob($("sound-" + number).textContent.trim());
      buffers.set(number, context().decodeAudioData(Uint8Array.from(text, (x) => x.charCodeAt(0)).buffer));
    }
    return buffers.get(number);
  };
  const play = async (sound, ended) => {
    await context().resume();
    const found = await sound;
    source?.stop();
    source = new AudioBufferSourceNode(context(), { buffer: found });
    source.connect(context().destination);
    source.onended = ended;
    source.start();
  };
  const beep = () => {
    const rate = context().sampleRate, length = Math.round(rate / 2), sound = new AudioBuffer({ length, sampleRate: rate });
    const samples = sound.getChannelData(0);
    for (let i = 0; i < length; i++) samples[i] = 0.1 * Math.sin(2 * Math.PI * 440 * i / rate) * Math.sin(Math.PI * i / length);
    return sound;
  };

  // --- a question ---
  let now = null;  // { heard, plays, choice, since }
  const button = (text, pressed) => {
    const found = document.createElement("button");
    found.type = "button";
    found.textContent = text;
    if (pressed !== undefined) found.setAttribute("aria-pressed", pressed);
    return found;
  };
  const show = () => {
    const number = state.answers.length, total = about.trials.length;
    $("before").hidden = state.started !== null;
    $("during").hidden = state.started === null || number === total;
    $("after").hidden = number < total;
    if (state.started === null) return;
    $("progress").textContent = number < total ? `Question ${number + 1} of ${total}` : `${total} of ${total} questions answered`;
    if (number === total) return;
    const { trial, sounds } = state.order[number], { question, choices } = trials[trial];
    now = { heard: new Set(), plays: 0, choice: null, since: performance.now() };
    $("question").textContent = question;
    const names = ["A", "B"];
    const offered = choices ?? sounds.map((sound, i) => [sound, names[i]]);
    const answers = offered.map(([value, text]) => {
      const one = button(value === text ? text : choices ? `${value}: ${text}` : text, false);
      one.disabled = true;
      one.addEventListener("click", () => {
        now.choice = value;
        for (const other of answers) other.setAttribute("aria-pressed", other === one);
        $("next").disabled = false;
      });
      return one;
    });
    $("choices").replaceChildren(...answers);
    $("sounds").replaceChildren(...sounds.map((sound, i) => {
      const one = button(sounds.length > 1 ? `Play ${names[i]}` : "Play");
      one.addEventListener("click", () => {
        now.plays++;
        const own = now;
        play(buffer(sound), () => {
          own.heard.add(sound);
          if (own === now && own.heard.size === sounds.length) for (const answer of answers) answer.disabled = false;
        });
      });
      return one;
    }));
    $("next").disabled = true;
  };
  const next = () => {
    source?.stop();
    const { trial } = state.order[state.answers.length];
    state.answers.push({ trial, choice: now.choice, milliseconds: Math.round(performance.now() - now.since), plays: now.plays });
    if (state.answers.length === about.trials.length) state.ended = new Date().toISOString();
    keep();
    show();
    $("sounds").firstElementChild?.focus();
  };

  // --- what is saved ---
  const seal = (said) => {  // FNV-1a of 64 bits
    const rows = said.answers.map((one) => `${one.trial}=${one.choice}@${one.milliseconds}x${one.plays}`);
    const text = [said.test, said.listener, said.started, said.ended, ...rows].join("\n");
    let found = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(text)) found = BigInt.asUintN(64, (found ^ BigInt(byte)) * 0x100000001b3n);
    return found.toString(16).padStart(16, "0");
  };
  $("save").addEventListener("click", () => {
    const { listener, started, ended, answers } = state;
    const said = { format: about.format, version: about.version, test: about.test, listener, started, ended, answers };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ ...said, seal: seal(said) }, null, 1)], { type: "application/json" }));
    link.download = `answers-${about.test}-${listener}.json`;
    link.click();
  });
  $("agree").addEventListener("change", (event) => { $("begin").disabled = !event.target.checked; });
  $("try").addEventListener("click", () => play(beep()));
  $("begin").addEventListener("click", () => {
    state.started = new Date().toISOString();
    keep();
    show();
    $("sounds").firstElementChild?.focus();
  });
  $("next").addEventListener("click", next);
  addEventListener("keydown", (event) => {
    if ($("during").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "a" || key === "b") $("sounds").children["ab".indexOf(key)]?.click();
    else if (/^[1-9]$/.test(key)) $("choices").children[key - 1]?.click();
    else if (key === "enter" && event.target === document.body && !$("next").disabled) next();
    else return;
    event.preventDefault();
  });
  show();
})();

// Players of a file list: a cursor on the spectrogram, and switching between versions at the same moment.
"use strict";
(() => {
  const audiosOf = (file) => [...file.querySelectorAll("audio")];
  const position = (audio) => (audio.duration ? audio.currentTime / audio.duration : 0);

  function select(file, audio) {
    for (const other of audiosOf(file)) {
      other.closest("figure").classList.toggle("current", other === audio);
      other.preload = "auto"; // so that switching does not wait
    }
  }

  const selected = (file) => file.querySelector("figure.current audio") || file.querySelector("audio");

  function play(audio) {
    audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // another version was selected before this one began
    });
  }

  function seek(audio, share) {
    if (audio.readyState >= HTMLMediaElement.HAVE_METADATA) {
      audio.currentTime = share * audio.duration;
      drawCursor(audio);
    } else {
      audio.addEventListener("loadedmetadata", () => seek(audio, share), { once: true });
      audio.preload = "auto";
      audio.load();
    }
  }

  function drawCursor(audio) {
    const cursor = audio.closest("figure").querySelector(".cursor");
    cursor.hidden = !(audio.currentTime > 0);
    cursor.style.left = `${100 * position(audio)}%`;
  }

  function follow(audio) {
    drawCursor(audio);
    if (!audio.paused) requestAnimationFrame(() => follow(audio));
  }

  function switchTo(file, audio) {
    const current = selected(file);
    if (!audio || audio === current) {
      if (audio) select(file, audio);
      return;
    }
    const plays = !current.paused;
    current.pause();
    select(file, audio);
    seek(audio, position(current));
    if (plays) play(audio);
  }

  function selectNeighbour(file, step) {
    const shown = [...file.parentElement.querySelectorAll(".file:not([hidden])")];
    const next = shown[shown.indexOf(file) + step];
    if (!next) return;
    selected(file).pause();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function onKey(event) {
    const file = event.currentTarget;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const audios = audiosOf(file);
    const current = selected(file);
    if (audios[event.key - 1]) switchTo(file, audios[event.key - 1]);
    else if (event.key === "s") switchTo(file, audios[(audios.indexOf(current) + 1) % audios.length]);
    else if (event.target !== file) return; // the browser's own keys of a focused player
    else if (event.key === " ") current.paused ? play(current) : current.pause();
    else if (event.key === "ArrowDown") selectNeighbour(file, 1);
    else if (event.key === "ArrowUp") selectNeighbour(file, -1);
    else return;
    event.preventDefault();
  }

  function onPlay(event) {
    if (event.target.localName !== "audio") return;
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
    const file = event.target.closest(".file");
    if (!file) return;
    select(file, event.target);
    follow(event.target);
  }

  function onSeeked(event) {
    if (event.target.closest?.(".file")) drawCursor(event.target);
  }

  document.addEventListener("play", onPlay, true); // media events do not bubble
  document.addEventListener("seeked", onSeeked, true);
  for (const file of document.querySelectorAll(".file:has(audio)")) {
    file.addEventListener("keydown", onKey);
    for (const spectrogram of file.querySelectorAll(".spectrogram")) {
      spectrogram.addEventListener("click", (event) => {
        const audio = spectrogram.parentElement.querySelector("audio");
        if (!audio) return;
        switchTo(file, audio);
        seek(audio, event.offsetX / spectrogram.clientWidth);
      });
    }
  }
})();

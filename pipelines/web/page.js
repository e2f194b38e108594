// The server deletes uploads after each conversion and results once they are fetched. This page holds both: it sends a
// file again when the same file is converted once more, and plays and saves results from its own copy.
// `maxMegabytes` is defined by the server.

class Uploads {
  contents = new Map(); // path of each upload that the last conversion used: its content

  async prepare(...inputs) {
    const contents = new Map();
    const prepareInput = async (input) => {
      if (Array.isArray(input)) return Promise.all(input.map(prepareInput));
      if (!input?.path) return input;
      const used = this.contents.get(input.path);
      const response = used ? null : await fetch(input.url);
      if (used || response.ok) contents.set(input.path, used ?? (await response.blob()));
      return used ? { ...input, path: await Uploads.send(used, input.orig_name) } : input;
    };
    const prepared = await Promise.all(inputs.map(prepareInput));
    this.contents = contents;
    return prepared;
  }

  static async send(content, name) {
    const form = new FormData();
    form.append("files", content, name ?? "recording.wav");
    const response = await fetch("gradio_api/upload", { method: "POST", body: form });
    return (await response.json())[0];
  }
}

const crossfade = {
  one: new Uploads(),
  batch: new Uploads(),
  copies: new Set(), // addresses of fetched results

  async fetchResults() {
    for (let element; (element = document.querySelector("[data-fetch]")); ) {
      const address = element.dataset.fetch;
      const users = [...document.querySelectorAll(`[data-fetch="${address}"]`)];
      for (const user of users) user.removeAttribute("data-fetch");
      const copy = URL.createObjectURL(await (await fetch(address)).blob());
      for (const user of users) user[user.tagName === "A" ? "href" : "src"] = copy;
      crossfade.copies.add(copy);
    }
    for (const copy of crossfade.copies) {
      if (document.querySelector(`[src="${copy}"], [href="${copy}"]`)) continue;
      URL.revokeObjectURL(copy);
      crossfade.copies.delete(copy);
    }
  },

  // Shows a line and stops the event if files are too large; otherwise removes the line of an earlier event.
  refuseLarge(event, files) {
    const megabytes = [...files].reduce((sum, file) => sum + file.size, 0) / 1e6;
    const limit = `at most ${maxMegabytes} MB are accepted (--max_megabytes)`;
    const line = megabytes > maxMegabytes ? `the chosen files have ${megabytes.toFixed(1)} MB; ${limit}` : "";
    for (const element of document.querySelectorAll(".refusal")) element.textContent = line;
    if (!line) return false;
    event.preventDefault();
    event.stopImmediatePropagation();
    return true;
  },

  // A file of a chosen folder is uploaded under its path in the folder instead of its name.
  nameByPath(input) {
    const named = new DataTransfer();
    for (const file of input.files) named.items.add(new File([file], file.webkitRelativePath, { type: file.type }));
    input.files = named.files;
  },
};

const beforeGradio = { capture: true };
document.addEventListener("drop", (event) => crossfade.refuseLarge(event, event.dataTransfer.files), beforeGradio);
document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.type !== "file") return;
  if (crossfade.refuseLarge(event, input.files)) input.value = "";
  else if (input.webkitdirectory) crossfade.nameByPath(input);
}, beforeGradio);

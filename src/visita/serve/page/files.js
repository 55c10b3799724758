/** Paths of the service's machine, and giving text and files to the user. */

/** Return the last part of a path, of whichever system. */
export const nameOf = (path) => path.split(/[\\/]/).pop();

/** Copy a text; where the browser does not allow that, return false. */
export async function copied(value) {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    return false;
  }
}

/** Let the browser download an address. */
export function download(address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}

/** Return the pictures among files that were dropped or pasted. */
export const picturesOf = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

/** Return a file in base64, as a request brings it. */
export async function fileOf(file) {
  const address = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
  return address.slice(address.indexOf(",") + 1);
}

// A right click on the picture, or a click with Shift, takes from the mask. Gradio tells of a click
// where it is, and no more: which kind it was is noted here, and told with it (app/clicks.py).
() => {
  const kept = (event) => event.target.closest("#canvas img");
  document.addEventListener("click", (event) => {
    if (kept(event)) window.clickTakes = event.shiftKey || event.button === 2;
  }, true);
  document.addEventListener("contextmenu", (event) => {
    if (!kept(event)) return;
    event.preventDefault();
    const {clientX, clientY} = event;
    event.target.dispatchEvent(new MouseEvent("click", {bubbles: true, button: 2, clientX, clientY}));
  }, true);
}

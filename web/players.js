// Players for the results on the nodes that make sound or video. A node tells its files by ui["player"], see nodes/comfy/players.py.
import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

const TAGS = {
  SeeingHearing_VideoToAudio: "audio",
  SeeingHearing_ImageToAudio: "audio",
  SeeingHearing_AudioToVideo: "video",
  SeeingHearing_VideoAndAudio: "video",
  SeeingHearing_Compare: "video"
}
const HEIGHTS = { audio: 60, video: 240 } // pixels
const MAX_SHOWN = 3 // further ones are reached by scrolling

function addPlayer(node) {
  const box = document.createElement("div")
  box.style.overflowY = "auto"
  const height = () => Math.min(box.children.length, MAX_SHOWN) * HEIGHTS[TAGS[node.comfyClass]]
  const widget = node.addDOMWidget("player", "SEEING_HEARING_PLAYER", box, {
    serialize: false, hideOnZoom: false, getMinHeight: height, getMaxHeight: height
  })
  widget.serialize = false
}

// The classic canvas adds the live picture to a node, but no room for it.
function growForPictures(node) {
  const add = node.addCustomWidget
  node.addCustomWidget = function () {
    const added = add.apply(this, arguments)
    grow(this)
    return added
  }
}

function grow(node) {
  const [width, height] = node.computeSize()
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)])
}

function show(node, files) {
  const box = node.widgets?.find((widget) => widget.name === "player")?.element
  if (!box || !files) return
  const tag = TAGS[node.comfyClass]
  box.replaceChildren(...files.map((file) => {
    const media = document.createElement(tag)
    media.controls = true
    media.src = api.apiURL(`/view?${new URLSearchParams(file)}`)
    Object.assign(media.style, { display: "block", width: "100%", height: `${HEIGHTS[tag]}px` })
    return media
  }))
  grow(node)
}

app.registerExtension({
  name: "SeeingHearing.Players",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!(nodeData.name in TAGS)) return
    const onExecuted = nodeType.prototype.onExecuted
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.apply(this, arguments)
      show(this, output?.player)
    }
  },
  nodeCreated(node) {
    if (!(node.comfyClass in TAGS)) return
    addPlayer(node)
    growForPictures(node)
  },
  onNodeOutputsUpdated(outputs) {
    // A workflow was opened again, from another tab or from the history.
    for (const node of app.graph?.nodes ?? []) if (node.comfyClass in TAGS) show(node, outputs[node.id]?.player)
  }
})

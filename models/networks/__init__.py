"""Networks as functions that return a `keras.Model`: mels, images, stargan, mask_cyclegan, vocoder."""

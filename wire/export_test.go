package wire

// ReadApart is from how many bytes on an answer is read by two at the same time.
const ReadApart = readApart

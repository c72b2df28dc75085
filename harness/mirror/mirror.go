// Package mirror keeps the repository's promises about its own shape. It has
// tests only: the four laws of docs/ARCHITECTURE.md, skeletons that fail as
// designed, and documents whose links, commands and names are real.
package mirror

package sign

// UnverifiedPayload gives the bytes in a bundle that nobody has vouched for:
// for showing what an untrusted bundle claims, and for nothing else. Errors
// wrap ErrMalformed.
func UnverifiedPayload(bundle []byte) ([]byte, error) {
	parsed, err := parseBundle(bundle)
	if err != nil {
		return nil, err
	}
	return parsed.GetDsseEnvelope().GetPayload(), nil
}

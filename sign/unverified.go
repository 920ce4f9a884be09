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

// UnverifiedSigner is how a bundle names who signed it, which nobody has
// vouched for: "key HINT", "certificate", or "" when it names nobody. Errors
// wrap ErrMalformed.
func UnverifiedSigner(bundle []byte) (string, error) {
	parsed, err := parseBundle(bundle)
	if err != nil {
		return "", err
	}
	material := parsed.GetVerificationMaterial()
	switch hint := material.GetPublicKey().GetHint(); {
	case hint != "":
		return "key " + excerpt(hint), nil
	case material.GetCertificate() != nil, material.GetX509CertificateChain() != nil:
		return "certificate", nil
	}
	return "", nil
}

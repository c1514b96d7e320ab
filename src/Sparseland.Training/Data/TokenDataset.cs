using System.Text;

namespace Sparseland.Training.Data;

/// <summary>Windows of consecutive tokens; the target of each position is the token that follows it.</summary>
/// <remarks>
/// Sample i covers tokens[i * stride .. i * stride + window - 1]. With a stride smaller than the window the windows overlap
/// (more and more varied samples for training); with equal stride every token but the first is predicted exactly once
/// (perplexity): the last window is filled up with token 0 and targets of <see cref="IDataset.IgnoredTarget"/>, which are not scored.
/// </remarks>
public sealed class TokenDataset : IDataset
{
    private readonly int[] _tokens, _starts, _ends, _shape;

    /// <summary>Wraps a token sequence.</summary>
    /// <param name="tokens">Ids in 0 .. vocabularySize-1.</param>
    /// <param name="vocabularySize">Number of different tokens.</param>
    /// <param name="window">Tokens per sample.</param>
    /// <param name="stride">Tokens between the starts of neighbouring samples, 1 to window; the window when null.</param>
    /// <param name="byteCount">Bytes of text behind the tokens, for bits per byte; 0 when unknown.</param>
    /// <exception cref="ArgumentException">Fewer than two tokens, or an id is out of range.</exception>
    public TokenDataset(int[] tokens, int vocabularySize, int window, int? stride = null, long byteCount = 0)
        : this(tokens, [tokens?.Length ?? 0], vocabularySize, window, stride, byteCount)
    {
    }

    private TokenDataset(int[] tokens, int[] documentEnds, int vocabularySize, int window, int? stride, long byteCount)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)vocabularySize) throw new ArgumentException($"Token {token} is not in a vocabulary of {vocabularySize}.", nameof(tokens));
        }
        Stride = stride ?? window;
        ArgumentOutOfRangeException.ThrowIfLessThan(Stride, 1, nameof(stride));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Stride, window, nameof(stride));
        var starts = new List<int>();
        var ends = new List<int>();
        int from = 0;
        foreach (int to in documentEnds)
        {
            for (int at = from; at < to - 1; at += Stride)
            {
                // With overlap the last window is moved back to end with the text; without overlap it is padded, so that nothing is scored twice.
                bool last = at + window >= to - 1;
                starts.Add(last && Stride < window ? Math.Max(from, to - 1 - window) : at);
                ends.Add(to);
                if (last) break;
            }
            from = to;
        }
        if (starts.Count == 0) throw new ArgumentException($"{tokens.Length} tokens: at least two in a row are needed to predict one.", nameof(tokens));
        _tokens = tokens;
        _starts = [.. starts];
        _ends = [.. ends];
        _shape = [window];
        ClassCount = vocabularySize;
        ByteCount = byteCount;
    }

    /// <inheritdoc/>
    public int Count => _starts.Length;

    /// <inheritdoc/>
    public SampleKind Kind => SampleKind.Tokens;

    /// <inheritdoc/>
    public ReadOnlySpan<int> SampleShape => _shape;

    /// <inheritdoc/>
    public int ClassCount { get; }

    /// <inheritdoc/>
    public int TargetsPerSample => _shape[0];

    /// <inheritdoc/>
    public IReadOnlyList<string>? ClassNames => null;

    /// <summary>The tokens.</summary>
    public ReadOnlySpan<int> Tokens => _tokens;

    /// <summary>Bytes of text behind the tokens; 0 when unknown.</summary>
    public long ByteCount { get; }

    /// <summary>Tokens between the starts of neighbouring samples.</summary>
    public int Stride { get; }

    /// <summary>A text whose tokens are its UTF-8 bytes: a vocabulary of 256.</summary>
    public static TokenDataset FromBytes(ReadOnlySpan<byte> text, int window, int? stride = null)
    {
        int[] tokens = new int[text.Length];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = text[i];
        return new TokenDataset(tokens, 256, window, stride, text.Length);
    }

    /// <summary>A text cut by a tokenizer.</summary>
    /// <param name="text">The text.</param>
    /// <param name="encode">Turns text into token ids, with the start token where the model expects one.</param>
    /// <param name="vocabularySize">Number of different tokens.</param>
    /// <param name="window">Tokens per sample.</param>
    /// <param name="stride">Tokens between samples; the window when null.</param>
    public static TokenDataset FromText(string text, Func<string, IReadOnlyList<int>> encode, int vocabularySize, int window, int? stride = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        return FromDocuments([text], encode, vocabularySize, window, stride);
    }

    /// <summary>Texts that do not see each other: no window reaches from one into the next.</summary>
    /// <param name="documents">The texts.</param>
    /// <param name="encode">Turns one text into token ids, with the start token where the model expects one.</param>
    /// <param name="vocabularySize">Number of different tokens.</param>
    /// <param name="window">Tokens per sample; longer documents are cut.</param>
    /// <param name="stride">Tokens between samples; the window when null.</param>
    public static TokenDataset FromDocuments(IEnumerable<string> documents, Func<string, IReadOnlyList<int>> encode, int vocabularySize, int window, int? stride = null)
    {
        ArgumentNullException.ThrowIfNull(documents);
        ArgumentNullException.ThrowIfNull(encode);
        var tokens = new List<int>();
        var ends = new List<int>();
        long bytes = 0;
        foreach (string document in documents)
        {
            tokens.AddRange(encode(document));
            ends.Add(tokens.Count);
            bytes += Encoding.UTF8.GetByteCount(document);
        }
        return new TokenDataset([.. tokens], [.. ends], vocabularySize, window, stride, bytes);
    }

    /// <summary>Cuts the sequence in two: the last <paramref name="fraction"/> of the tokens is for validation, without overlapping windows.</summary>
    /// <exception cref="ArgumentException">There are fewer than four tokens.</exception>
    public (TokenDataset Train, TokenDataset Validation) SplitTail(double fraction)
    {
        if (fraction is not (> 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(fraction), fraction, "Above 0 and below 1.");
        if (_tokens.Length < 4) throw new ArgumentException($"{_tokens.Length} tokens cannot be split.");
        int cut = Math.Clamp((int)Math.Round(_tokens.Length * (1 - fraction)), 2, _tokens.Length - 2);
        long bytes = (long)Math.Round((double)ByteCount * cut / _tokens.Length);
        return (new TokenDataset(_tokens[..cut], [.. _ends.Distinct().Where(e => e < cut), cut], ClassCount, _shape[0], Stride, bytes),
            new TokenDataset(_tokens[cut..], [.. _ends.Distinct().Where(e => e > cut).Select(e => e - cut)], ClassCount, _shape[0], null, ByteCount - bytes));
    }

    /// <inheritdoc/>
    public void Fill(int index, Span<float> sample, Span<int> targets)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
        int start = _starts[index], end = _ends[index];
        for (int i = 0; i < _shape[0]; i++)
        {
            int at = start + i;
            sample[i] = at < end - 1 ? _tokens[at] : 0;
            targets[i] = at < end - 1 ? _tokens[at + 1] : IDataset.IgnoredTarget;
        }
    }
}

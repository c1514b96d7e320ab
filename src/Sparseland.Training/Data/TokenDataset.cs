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
    private readonly int[] _tokens;
    private readonly int[] _shape;
    private readonly int _stride;

    /// <summary>Wraps a token sequence.</summary>
    /// <param name="tokens">Ids in 0 .. vocabularySize-1.</param>
    /// <param name="vocabularySize">Number of different tokens.</param>
    /// <param name="window">Tokens per sample.</param>
    /// <param name="stride">Tokens between the starts of neighbouring samples, 1 to window; the window when null.</param>
    /// <param name="byteCount">Bytes of text behind the tokens, for bits per byte; 0 when unknown.</param>
    /// <exception cref="ArgumentException">Fewer than two tokens, or an id is out of range.</exception>
    public TokenDataset(int[] tokens, int vocabularySize, int window, int? stride = null, long byteCount = 0)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);
        if (tokens.Length < 2) throw new ArgumentException($"{tokens.Length} tokens: at least two are needed to predict one.", nameof(tokens));
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)vocabularySize) throw new ArgumentException($"Token {token} is not in a vocabulary of {vocabularySize}.", nameof(tokens));
        }
        _stride = stride ?? window;
        ArgumentOutOfRangeException.ThrowIfLessThan(_stride, 1, nameof(stride));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(_stride, window, nameof(stride));
        _tokens = tokens;
        _shape = [window];
        ClassCount = vocabularySize;
        ByteCount = byteCount;
        int predicted = tokens.Length - 1;
        Count = predicted <= window ? 1 : (predicted - window + _stride - 1) / _stride + 1;
    }

    /// <inheritdoc/>
    public int Count { get; }

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
    public int Stride => _stride;

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
        ArgumentNullException.ThrowIfNull(encode);
        return new TokenDataset([.. encode(text)], vocabularySize, window, stride, Encoding.UTF8.GetByteCount(text));
    }

    /// <summary>Cuts the sequence in two: the last <paramref name="fraction"/> of the tokens is for validation, without overlapping windows.</summary>
    public (TokenDataset Train, TokenDataset Validation) SplitTail(double fraction)
    {
        if (fraction is not (> 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(fraction), fraction, "Above 0 and below 1.");
        int cut = Math.Clamp((int)Math.Round(_tokens.Length * (1 - fraction)), 2, _tokens.Length - 2);
        long bytes = (long)Math.Round((double)ByteCount * cut / _tokens.Length);
        return (new TokenDataset(_tokens[..cut], ClassCount, _shape[0], _stride, bytes),
            new TokenDataset(_tokens[cut..], ClassCount, _shape[0], null, ByteCount - bytes));
    }

    /// <inheritdoc/>
    public void Fill(int index, Span<float> sample, Span<int> targets)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
        int start = index * _stride, window = _shape[0];
        // With overlap the last window is moved back to end with the text; without overlap it is padded, so that nothing is scored twice.
        if (_stride < window) start = Math.Max(0, Math.Min(start, _tokens.Length - 1 - window));
        for (int i = 0; i < window; i++)
        {
            int at = start + i;
            sample[i] = at < _tokens.Length - 1 ? _tokens[at] : 0;
            targets[i] = at < _tokens.Length - 1 ? _tokens[at + 1] : IDataset.IgnoredTarget;
        }
    }
}

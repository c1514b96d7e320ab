namespace Sparseland.Bench.Figures;

/// <summary>One pass of attention in PyTorch per run, on given operands.</summary>
internal sealed class AttentionPeer : PyTorchPeer
{
    private AttentionPeer(string folder, string[] arguments) : base("attention.py", folder, arguments)
    {
    }

    /// <summary>Starts the peer.</summary>
    /// <param name="heads">Heads.</param>
    /// <param name="tokens">Length of the sequence.</param>
    /// <param name="size">Width of a head.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <param name="backward">Whether a pass computes the gradients as well.</param>
    /// <param name="block">Side of a block of scores.</param>
    /// <param name="operands">q, k, v and the gradient of the result: [heads, tokens, size] each.</param>
    /// <param name="seen">Which blocks each head sees [heads, blocks, blocks], which ones all heads see [blocks, blocks], and which tokens are kept: for what it computes once, to compare with.</param>
    /// <exception cref="InvalidOperationException">Python or PyTorch is not there.</exception>
    public static AttentionPeer Start(int heads, int tokens, int size, int threads, bool backward, int block, IReadOnlyList<float[]> operands, (bool[] Own, bool[] Shared, bool[] Kept) seen)
    {
        List<string> arguments = ["--heads", Text(heads), "--tokens", Text(tokens), "--size", Text(size), "--threads", Text(threads), "--block", Text(block)];
        if (backward) arguments.Add("--backward");
        return Start(folder =>
        {
            for (int i = 0; i < operands.Count; i++) Write<float>(folder, $"{"qkvg"[i]}.bin", operands[i]);
            Write<bool>(folder, "own.bin", seen.Own);
            Write<bool>(folder, "shared.bin", seen.Shared);
            Write<bool>(folder, "kept.bin", seen.Kept);
        }, folder => new AttentionPeer(folder, [.. arguments]));
    }

    /// <summary>The result, and behind it the gradients of q, k and v where they are computed.</summary>
    /// <param name="mask">dense, causal, own, shared or kept.</param>
    public float[] Results(string mask) => Numbers($"results_{mask}.bin");
}

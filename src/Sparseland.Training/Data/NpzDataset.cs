using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;

namespace Sparseland.Training.Data;

/// <summary>Reads labelled samples from .npz archives.</summary>
/// <remarks>
/// Names that are understood: <c>x_train, y_train, x_test, y_test</c> (Keras), <c>train_images, train_labels, ...</c> (MedMNIST), and
/// <c>images</c>/<c>x</c>/<c>data</c> with <c>labels</c>/<c>y</c>/<c>targets</c> for a single set. Bytes are pictures: [count, height, width], [count, height, width, channels]
/// or [count, channels, height, width] (1 or 3 channels decide which); floats keep their shape.
/// </remarks>
public static class NpzDataset
{
    private static readonly string[] s_images = ["x", "images", "data", "features"], s_labels = ["y", "labels", "targets"];

    /// <summary>Reads what the archive holds; a set that is not there is null.</summary>
    /// <exception cref="DataException">SL3001, SL3003: no pair of samples and labels, or they do not fit each other.</exception>
    /// <exception cref="Model.ModelFormatException">The archive is damaged.</exception>
    public static (IDataset? Train, IDataset? Test) Read(string path)
    {
        Checkpoint archive = NpzReader.Open(path);
        IDataset? train = Pair(archive, path, ["train"]) ?? Pair(archive, path, [""]), test = Pair(archive, path, ["test", "val", "valid", "validation"]);
        if (train is null && test is null)
        {
            throw DataException.NotFound(path, "no samples with labels in it",
                $"arrays named x and y, images and labels, or x_train and y_train; found {string.Join(", ", archive.Tensors.Keys.Take(12))}");
        }
        if (train is not null && test is not null && train.ClassCount != test.ClassCount)
        {
            // The number of classes is the largest label seen; a small test set may miss the last class.
            int classes = Math.Max(train.ClassCount, test.ClassCount);
            train = Pair(archive, path, ["train"], classes) ?? Pair(archive, path, [""], classes);
            test = Pair(archive, path, ["test", "val", "valid", "validation"], classes);
        }
        return (train, test);
    }

    private static IDataset? Pair(Checkpoint archive, string path, string[] parts, int? classes = null)
    {
        foreach (string part in parts)
        {
            foreach (string x in s_images)
            {
                foreach (string y in s_labels)
                {
                    string[][] forms = part.Length == 0 ? [[x, y]] : [[$"{x}_{part}", $"{y}_{part}"], [$"{part}_{x}", $"{part}_{y}"]];
                    foreach (string[] names in forms)
                    {
                        if (archive.Tensors.TryGetValue(names[0], out WeightStorage? images) && archive.Tensors.TryGetValue(names[1], out WeightStorage? labels))
                            return Make(images.Read(), labels.Read(), $"{path}: {names[0]}, {names[1]}", classes);
                    }
                }
            }
        }
        return null;
    }

    private static IDataset Make(TensorData samples, TensorData labels, string where, int? classes)
    {
        if (samples.Rank < 2) throw DataException.Damaged(where, $"samples are {samples}; expected [count, ...]");
        int count = samples.Shape[0];
        if (labels.Length != count || count == 0) throw DataException.Damaged(where, $"{labels} labels for {count} samples");
        long[] ids;
        try
        {
            ids = labels.ToInt64s();
        }
        catch (InvalidOperationException e)
        {
            throw DataException.Damaged(where, $"labels are {labels.ElementType}, not integers", e);
        }
        if (ids.Min() < 0 || ids.Max() > 1_000_000) throw DataException.Damaged(where, $"labels reach from {ids.Min()} to {ids.Max()}");
        int[] targets = Array.ConvertAll(ids, v => (int)v);
        int classCount = classes ?? Math.Max(2, targets.Max() + 1);
        int[] shape = samples.Shape[1..].ToArray();
        if (samples.ElementType != ElementType.UInt8)
        {
            float[] values = samples.ElementType.IsFloat() ? samples.ToSingles() : throw DataException.Damaged(where, $"samples are {samples.ElementType}; expected bytes or floats");
            return new ArrayDataset(values, targets, shape, classCount);
        }
        byte[] pixels = samples.Array<byte>();
        switch (shape.Length)
        {
            case 2:
                return new PictureDataset(pixels, targets, [1, .. shape], classCount);
            case 3 when shape[0] is 1 or 3 && shape[2] is not (1 or 3):
                return new PictureDataset(pixels, targets, shape, classCount);
            case 3 when shape[2] is 1 or 3:
                return new PictureDataset(ChannelsFirst(pixels, count, shape[0] * shape[1], shape[2]), targets, [shape[2], shape[0], shape[1]], classCount);
            default:
                throw DataException.Damaged(where, $"pictures are {samples}; expected [count, height, width], [count, height, width, 1 or 3] or [count, 1 or 3, height, width]");
        }
    }

    private static byte[] ChannelsFirst(byte[] pixels, int count, int plane, int channels)
    {
        byte[] result = new byte[pixels.Length];
        for (int n = 0; n < count; n++)
        {
            for (int p = 0; p < plane; p++)
            {
                for (int c = 0; c < channels; c++) result[(n * channels + c) * plane + p] = pixels[(n * plane + p) * channels + c];
            }
        }
        return result;
    }
}

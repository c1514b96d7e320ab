using Sparseland.Training.Data.Pictures;

namespace Sparseland.Training.Data;

/// <summary>Reads a folder with one folder of PNG pictures per class.</summary>
/// <remarks>Classes are the folder names in ordinal order, pictures the file names in ordinal order, so that indices do not depend on the file system.</remarks>
public static class PictureFolder
{
    /// <summary>Largest number of bytes of decoded pixels that is held in memory.</summary>
    public const long MaxBytes = 2_000_000_000;

    /// <summary>Whether the folder has folders with PNG files in them.</summary>
    public static bool Looks(string folder) => Directory.Exists(folder) && Directory.EnumerateDirectories(folder).Any(d => Directory.EnumerateFiles(d, "*.png").Any());

    /// <summary>Reads all pictures.</summary>
    /// <param name="folder">The folder that holds the classes' folders.</param>
    /// <param name="size">(height, width) to which pictures are brought (shorter side, then middle); null keeps the size, which must then be the same for all.</param>
    /// <param name="channels">1 or 3; null takes 3 if any picture has colours.</param>
    /// <param name="classes">Names of the classes in order when they are known already (the training folder's); null takes all folders.</param>
    /// <exception cref="DataException">No pictures, different sizes, unknown class or a damaged file.</exception>
    public static PictureDataset Read(string folder, (int Height, int Width)? size = null, int? channels = null, IReadOnlyList<string>? classes = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string[] folders = [.. Directory.GetDirectories(folder).Where(d => Directory.EnumerateFiles(d, "*.png").Any()).OrderBy(d => Path.GetFileName(d), StringComparer.Ordinal)];
        string[] names = classes is null ? Array.ConvertAll(folders, d => Path.GetFileName(d)!) : [.. classes];
        var files = new List<(string Path, int Label)>();
        foreach (string d in folders)
        {
            int label = Array.IndexOf(names, Path.GetFileName(d));
            if (label < 0) throw new DataException("SL3004", $"folder '{Path.GetFileName(d)}' is not one of the {names.Length} classes") { Where = d, Because = $"the classes are {string.Join(", ", names.Take(12))}" };
            foreach (string file in Directory.GetFiles(d, "*.png").Order(StringComparer.Ordinal)) files.Add((file, label));
        }
        if (files.Count == 0) throw DataException.NotFound(folder, "no folders with PNG pictures in it", "one folder per class, named like the class, with *.png in it");

        (int width, int height, _) = PngReader.ReadSize(files[0].Path);
        if (size is { } wanted) (height, width) = wanted;
        int depth = channels ?? (files.Exists(f => PngReader.ReadSize(f.Path).Channels >= 3) ? 3 : 1);
        long sample = (long)height * width * depth;
        if (sample * files.Count > MaxBytes) throw DataException.TooLarge(folder, $"{files.Count:N0} pictures of {width} x {height} need {sample * files.Count:N0} bytes; the limit is {MaxBytes:N0}");
        byte[] pixels = new byte[sample * files.Count];
        int[] labels = new int[files.Count];
        Kernels.Threading.WorkPool.For(files.Count, i =>
        {
            (string path, labels[i]) = files[i];
            Picture picture = PngReader.Read(path);
            if (size is not null)
            {
                picture = Fit(picture, height, width);
            }
            else if (picture.Width != width || picture.Height != height)
            {
                throw new DataException("SL3005", $"pictures differ in size: {picture.Width} x {picture.Height} here, {width} x {height} in {Path.GetFileName(files[0].Path)}")
                {
                    Where = path,
                    Try = "give a size to which all pictures are brought: --image-size HEIGHTxWIDTH",
                };
            }
            picture.ToPlanes(depth).CopyTo(pixels.AsSpan((int)(i * sample)));
        });
        return new PictureDataset(pixels, labels, [depth, height, width], names.Length, names);
    }

    /// <summary>Scales until the shorter side fits and cuts the middle out.</summary>
    public static Picture Fit(Picture picture, int height, int width)
    {
        ArgumentNullException.ThrowIfNull(picture);
        double scale = Math.Max((double)height / picture.Height, (double)width / picture.Width);
        int h = Math.Max(height, (int)Math.Round(picture.Height * scale)), w = Math.Max(width, (int)Math.Round(picture.Width * scale));
        return picture.Resize(w, h).CenterCrop(width, height);
    }
}
